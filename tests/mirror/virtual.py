"""An event loop whose time passes only when nothing is left to do, and which is the network too.

Clients connect to simulated peers: the kernel still moves the bytes, through a pair of connected
unix sockets, but no packet, port or thread is involved. So a peer that stays silent for a minute
costs no time, and the same schedule gives the same run.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
from collections.abc import Awaitable, Callable
from typing import Any

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

Connect = Callable[[str], Awaitable[Accept]]
"""What becomes of a connection to an address: raises, waits, or gives what serves it."""

THREAD_SECONDS = 0.001
"""How long a worker thread takes for anything."""


class Stuck(Exception):
    """Everybody waits for something that cannot happen; without virtual time it would hang."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, and with peers instead of a network."""

    def __init__(self, connect: Connect) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._connect = connect
        self._serving: set[asyncio.Task[None]] = set()

    def time(self) -> float:
        return self._jumping.now

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        serve = await self._connect(address[0])
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        # The caller has made its socket already: it becomes one end of the pair.
        os.dup2(ours.fileno(), sock.fileno())
        ours.close()
        task = self.create_task(_serve(serve, theirs))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        outcome = self.create_future()
        self.call_later(THREAD_SECONDS, _work, outcome, func, args)
        return outcome

    def leftovers(self) -> set[asyncio.Task[Any]]:
        """Tasks that are still there, those of peers and the caller's own left out."""
        return {task for task in asyncio.all_tasks(self) if task not in self._serving}


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting it moves the clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            raise Stuck("all wait, and nothing is left that could happen")
        self.now += timeout
        return []


async def _serve(serve: Accept, sock: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=sock)
    await serve(reader, writer)


def _work(outcome: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    # As in a thread, it happens even when nobody waits for it any more.
    try:
        result = func(*args)
    except BaseException as error:
        if not outcome.cancelled():
            outcome.set_exception(error)
    else:
        if not outcome.cancelled():
            outcome.set_result(result)
