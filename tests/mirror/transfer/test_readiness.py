from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from mirror.transfer.readiness import readable, writable


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, two = socket.socketpair()
    with one, two:
        one.setblocking(False)
        yield one, two


Pair = tuple[socket.socket, socket.socket]


async def test_bytes_wake_the_reader(pair: Pair) -> None:
    waiting = asyncio.create_task(readable(pair[0].fileno(), 20.0))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    pair[1].send(b"x")
    await waiting


async def test_end_wakes_the_reader(pair: Pair) -> None:
    pair[1].close()
    await readable(pair[0].fileno(), 20.0)


async def test_silence_ends_with_a_timeout(pair: Pair) -> None:
    with pytest.raises(TimeoutError):
        await readable(pair[0].fileno(), 0.01)
    pair[1].send(b"x")
    await readable(pair[0].fileno(), 20.0)


async def test_full_socket_is_waited_for(pair: Pair) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            pair[0].send(b"x" * 65536)
    with pytest.raises(TimeoutError):
        await writable(pair[0].fileno(), 0.01)
    pair[1].setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            pair[1].recv(1 << 20)
    await writable(pair[0].fileno(), 20.0)


async def test_cancelled_wait_leaves_no_watcher(pair: Pair) -> None:
    waiting = asyncio.create_task(readable(pair[0].fileno(), 20.0))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not asyncio.get_running_loop().remove_reader(pair[0].fileno())
