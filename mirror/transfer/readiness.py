"""Waiting for a non-blocking socket, always with a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


async def readable(fd: int, timeout: float) -> None:
    """Waits until `fd` has bytes, or its end, to read.

    Raises:
        TimeoutError: Nothing came within `timeout` seconds.
    """
    loop = asyncio.get_running_loop()
    await _ready(loop, loop.add_reader, loop.remove_reader, fd, timeout)


async def writable(fd: int, timeout: float) -> None:
    """Waits until `fd` takes bytes again.

    Raises:
        TimeoutError: The other side took nothing within `timeout` seconds.
    """
    loop = asyncio.get_running_loop()
    await _ready(loop, loop.add_writer, loop.remove_writer, fd, timeout)


async def _ready(
    loop: asyncio.AbstractEventLoop,
    add: Callable[..., Any],
    remove: Callable[[int], Any],
    fd: int,
    timeout: float,
) -> None:
    # A future and a timer by hand: half the cost of asyncio.timeout(), and this runs per chunk.
    future = loop.create_future()
    timer = loop.call_later(timeout, _expire, future)
    add(fd, _wake, future)
    try:
        await future
    finally:
        remove(fd)
        timer.cancel()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
