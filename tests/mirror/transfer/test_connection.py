from __future__ import annotations

import asyncio
import random
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mirror.oci.digest import Digest
from mirror.transfer.connection import Connection
from mirror.transfer.limits import Limits
from mirror.transfer.verify import Verifier
from tests.mirror.leaks import open_files
from tests.mirror.loopback import QUICK, Loopback, loopback, until
from tests.mirror.scripted_peer import answering, hanging_after, holding, scripted, silent
from tests.mirror.tls import client_context

DATA = random.Random(11).randbytes(900_000)
REQUEST = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
async def cluster() -> AsyncIterator[Loopback]:
    async with loopback() as cluster:
        yield cluster


async def connect(cluster: Loopback, address: str) -> Connection:
    return await Connection.open(address, cluster.port, None, cluster.executor, QUICK)


async def test_answers_follow_each_other_on_one_connection(cluster: Loopback) -> None:
    peer = await scripted(cluster, holding(DATA))
    connection = await connect(cluster, peer.address)
    for piece in (100, 100_000, 600_000):
        assert (await connection.request("GET", REQUEST, 5.0)).status == 200
        assert (connection.remaining, connection.reusable) == (len(DATA), False)
        verifier, got = Verifier(Digest.of(DATA)), bytearray()
        buffer = memoryview(bytearray(piece))
        while count := await connection.read(buffer, verifier, 5.0):
            got += buffer[:count]
        assert got == DATA
        assert verifier.matches()
        assert connection.reusable
        assert connection.idle
    connection.close()
    assert not connection.idle
    assert peer.connections == 1


async def test_long_body_of_a_refusal_ends_the_connection(cluster: Loopback) -> None:
    peer = await scripted(cluster, answering(404, DATA))
    connection = await connect(cluster, peer.address)
    await connection.request("GET", REQUEST, 5.0)
    connection.discard_buffered()
    assert not connection.reusable
    connection.close()


async def test_peer_that_closed_or_spoke_unasked_is_not_idle(cluster: Loopback) -> None:
    peer = await scripted(cluster, holding(b""))
    connection = await connect(cluster, peer.address)
    await connection.request("GET", REQUEST, 5.0)
    assert connection.idle
    await peer.asked[0].send(b"unasked")
    await until(lambda: not connection.idle)
    connection.close()
    connection = await connect(cluster, peer.address)
    await connection.request("GET", REQUEST, 5.0)
    peer.asked[-1].writer.close()
    await until(lambda: not connection.idle)
    connection.close()


async def test_closing_waits_for_the_thread_that_reads(cluster: Loopback) -> None:
    """A descriptor that is closed under a thread could be another file's by its next read."""
    peer = await scripted(cluster, hanging_after(DATA, 800_000))
    before = open_files()
    with ThreadPoolExecutor(1) as executor:
        connection = await Connection.open(peer.address, cluster.port, None, executor, QUICK)
        await connection.request("GET", REQUEST, 5.0)
        busy = threading.Event()
        executor.submit(busy.wait)
        reading = asyncio.create_task(connection.read(memoryview(bytearray(800_000)), None, 5.0))
        await asyncio.sleep(0.02)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        connection.close()
        connection.close()
        assert open_files() > before
        busy.set()
        await until(lambda: not peer.open)


@pytest.mark.parametrize("tls", [False, True])
async def test_connecting_to_one_who_says_nothing_has_a_bound(cluster: Loopback, tls: bool) -> None:
    peer = await scripted(cluster, silent)
    limits = Limits(connect=0.1)
    context = client_context() if tls else None
    if tls:
        with pytest.raises(TimeoutError):
            await Connection.open(peer.address, cluster.port, context, cluster.executor, limits)
        return
    connection = await Connection.open(
        peer.address, cluster.port, context, cluster.executor, limits
    )
    with pytest.raises(TimeoutError):
        await connection.request("GET", REQUEST, 0.05)
    connection.close()


async def test_head_that_comes_byte_by_byte_has_a_bound_in_all(cluster: Loopback) -> None:
    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"H")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            writer.close()

    async with await asyncio.start_server(dribble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await Connection.open("127.0.0.1", port, None, cluster.executor, QUICK)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10.0):
                await connection.request("GET", REQUEST, 0.15)
        connection.close()
        await asyncio.sleep(0.1)


class ScriptedChannel:
    """Honours `Channel`; each `fill` gives the next piece, or fails with it."""

    def __init__(self, *script: bytes | Exception) -> None:
        self.script = list(script)
        self.ends = socket.socketpair()
        self.ends[1].send(b"x")  # always readable

    def fileno(self) -> int:
        return self.ends[0].fileno()

    def fill(self, buffer: memoryview) -> int:
        piece = self.script.pop(0)
        if isinstance(piece, Exception):
            raise piece
        buffer[: len(piece)] = piece
        if len(piece) > len(buffer):
            raise AssertionError("more than was asked for")
        return len(piece)

    async def send(self, data: bytes, timeout: float) -> None:
        pass

    def expect(self, size: int) -> None:
        pass

    def close(self) -> None:
        for end in self.ends:
            end.close()


@pytest.mark.parametrize(
    "error", [EOFError("closed"), ConnectionResetError("reset"), ssl.SSLError("bad record")]
)
async def test_bytes_that_were_hashed_are_returned_though_the_connection_breaks(
    cluster: Loopback, error: Exception
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(DATA)}\r\n\r\n".encode()
    channel = ScriptedChannel(head, DATA[: 256 * 1024], error, error)
    connection = Connection(channel, cluster.executor)
    await connection.request("GET", REQUEST, 5.0)
    buffer = memoryview(bytearray(len(DATA)))
    verifier = Verifier(Digest.of(DATA[: 256 * 1024]))
    assert await connection.read(buffer, verifier, 5.0) == 256 * 1024
    assert verifier.matches()
    with pytest.raises(type(error)):
        await connection.read(buffer, verifier, 5.0)
    connection.close()
