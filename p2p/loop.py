"""A trio loop in a thread of its own, behind asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Self, TypeVar

import trio

T = TypeVar("T")

Main = Callable[[Callable[[], None]], Awaitable[None]]
"""What the thread is there for; calls its argument when it is ready."""

SWITCH_SECONDS = 0.0005
"""How long a busy thread may keep the interpreter from the other. With Python's 5 ms a lookup
beside a busy asyncio loop took up to 2 s, with this 12 ms (95th percentile, measured)."""

STOP_SECONDS = 5.0
"""How long `stop` waits. The thread is a daemon: a hung one does not keep the process."""


class LoopEnded(RuntimeError):
    """The trio side has stopped, and with it all that was asked of it."""


class TrioThread:
    """Runs one async function in trio for callers in one asyncio loop. Made by `start`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._calls: set[asyncio.Future[object]] = set()
        self._stopping = False
        self._started: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[BaseException | None] = loop.create_future()

    @classmethod
    async def start(cls, name: str, main: Main) -> Self:
        """Starts the thread, and returns once `main` is ready.

        Raises:
            Exception: Whatever `main` raised before that.
        """
        self = cls(asyncio.get_running_loop())
        sys.setswitchinterval(min(SWITCH_SECONDS, sys.getswitchinterval()))
        threading.Thread(target=self._run, args=(main,), name=name, daemon=True).start()
        try:
            await self._started
        except BaseException:
            await self.stop()
            raise
        return self

    def post(self, function: Callable[..., object], *args: object) -> None:
        """Has a plain function run in the trio thread soon, and does not wait for it.

        Raises:
            LoopEnded: The trio side has stopped.
        """
        if self._token is None or self._ended.done():
            raise self._loop_ended()
        try:
            self._token.run_sync_soon(function, *args)
        except trio.RunFinishedError:
            raise self._loop_ended() from None

    async def call(self, function: Callable[..., Awaitable[T]], *args: object) -> T:
        """Runs an async function in the trio thread and returns its result.

        Cancelling the caller cancels the function too.

        Raises:
            LoopEnded: The trio side has stopped, or did so before the function was done.
            Exception: Whatever the function raised.
        """
        done: asyncio.Future[object] = self._loop.create_future()
        scope = trio.CancelScope()
        results: list[T] = []

        async def run() -> None:
            try:
                with scope:
                    results.append(await function(*args))
            except Exception as error:
                self._tell(_fail, done, error)
            else:
                self._tell(_settle, done)

        def begin() -> None:
            if self._nursery is not None:
                self._nursery.start_soon(run)

        self.post(begin)
        self._calls.add(done)
        try:
            await done
        except asyncio.CancelledError:
            with contextlib.suppress(LoopEnded):
                self.post(scope.cancel)
            raise
        finally:
            self._calls.discard(done)
        return results[0]

    async def ended(self) -> None:
        """Returns when the trio side was stopped.

        Raises:
            LoopEnded: It stopped of itself; the cause is chained.
        """
        await asyncio.shield(self._ended)
        if not self._stopping:
            raise self._loop_ended()

    async def stop(self) -> None:
        """Cancels `main` and waits for its end."""
        self._stopping = True
        with contextlib.suppress(LoopEnded):
            self.post(self._cancel)
        await asyncio.wait([self._ended], timeout=STOP_SECONDS)

    def _cancel(self) -> None:
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def _run(self, main: Main) -> None:
        error: BaseException | None = None
        try:
            trio.run(self._hold, main)
        except BaseException as raised:
            error = _only(raised)
        self._tell(self._on_ended, error)

    async def _hold(self, main: Main) -> None:
        async with trio.open_nursery() as nursery:
            self._token = trio.lowlevel.current_trio_token()
            self._nursery = nursery
            await main(lambda: self._tell(_settle, self._started))
            nursery.cancel_scope.cancel()

    def _on_ended(self, error: BaseException | None) -> None:
        self._ended.set_result(error)
        if not self._started.done():
            self._started.set_exception(error or LoopEnded("the p2p thread ended as it began"))
        for call in self._calls:
            _fail(call, self._loop_ended())

    def _loop_ended(self) -> LoopEnded:
        cause = self._ended.result() if self._ended.done() else None
        ended = LoopEnded(f"the p2p thread has ended: {cause!r}" if cause else "p2p has stopped")
        ended.__cause__ = cause
        return ended

    def _tell(self, function: Callable[..., object], *args: object) -> None:
        """Runs a plain function in the asyncio loop soon; nobody is there once that is closed."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *args)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[object], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _only(error: BaseException) -> BaseException:
    """The one error in nested groups, or the group when there are several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
