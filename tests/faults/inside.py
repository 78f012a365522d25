"""An event loop whose sockets live in another network namespace than the rest of this process."""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.cluster.netns import Namespace

_CLONE_NEWNET = 0x40000000
_RESULT_SECONDS = 30.0

T = TypeVar("T")


class Inside:
    """A thread that has entered a namespace and runs an event loop there.

    Threads that it starts are in there too: that of a `p2p.Node`, for one. Leaving the `with`
    block cancels what still runs and ends the thread.
    """

    def __init__(self, space: Namespace) -> None:
        """For the namespace `space`; begins with the `with` block."""
        self._space = space
        self._loop = asyncio.new_event_loop()
        self._entered = threading.Event()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._main, name=f"inside {space.name}")

    def __enter__(self) -> Self:
        self._thread.start()
        self._entered.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float = _RESULT_SECONDS) -> T:
        """Runs a coroutine in there and waits for its result.

        Raises:
            TimeoutError: It took longer than `timeout` seconds, and was cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    def _main(self) -> None:
        try:
            _enter(self._space)
        except OSError as error:
            self._failure = error
            return
        finally:
            self._entered.set()
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        # Python 3.11's streams complain of each connection whose task was cancelled.
        self._loop.set_exception_handler(lambda *_: None)
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


def _enter(space: Namespace) -> None:
    """Moves the calling thread; Python has `os.setns` only from 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(Path("/run/netns") / space.name, os.O_RDONLY)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), space.name)
    finally:
        os.close(descriptor)
