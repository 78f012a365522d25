"""Plain and TLS channels; both pass the same cases."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from mirror.transfer.channel import Channel, PlainChannel, TlsChannel
from mirror.transfer.readiness import readable
from tests.mirror.tls import client_context, server_context

DATA = random.Random(10).randbytes(700_000)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Line:
    """Opens channels to a server that does what the test says."""

    def __init__(self, *, tls: bool) -> None:
        self.tls = tls
        self.serve: Serve
        self.stack = contextlib.AsyncExitStack()

    async def open(self, serve: Serve) -> Channel:
        async def serve_and_close(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            with contextlib.suppress(ConnectionError):
                await serve(reader, writer)
            writer.close()

        context = server_context("127.0.0.1") if self.tls else None
        server = await asyncio.start_server(serve_and_close, "127.0.0.1", 0, ssl=context)
        self.stack.callback(server.close)
        sock = await connected(server.sockets[0].getsockname()[1])
        if not self.tls:
            self.stack.callback(sock.close)
            return PlainChannel(sock)
        channel = TlsChannel(sock, client_context(), "127.0.0.1")
        self.stack.callback(channel.close)
        await channel.handshake(10.0)
        return channel


async def connected(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return sock


@pytest.fixture(params=["plain", "tls"])
async def line(request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    line = Line(tls=request.param == "tls")
    async with line.stack:
        yield line


async def read(channel: Channel, count: int) -> bytes:
    got = bytearray()
    while len(got) < count:
        buffer = memoryview(bytearray(min(100_000, count - len(got))))
        filled = channel.fill(buffer)
        got += buffer[:filled]
        if not filled:
            await readable(channel.fileno(), 10.0)
    return bytes(got)


async def test_bytes_come_in_order_and_then_the_end(line: Line) -> None:
    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(DATA)
        await writer.drain()

    channel = await line.open(send)
    channel.expect(len(DATA))
    assert await read(channel, len(DATA)) == DATA
    with pytest.raises(EOFError):
        await read(channel, 1)
    with pytest.raises((EOFError, ssl.SSLError)):
        channel.fill(memoryview(bytearray(1)))


async def test_nothing_there_is_zero_at_once(line: Line) -> None:
    async def wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    channel = await line.open(wait)
    for _ in range(2):  # TLS 1.3 sends session tickets first
        assert channel.fill(memoryview(bytearray(10))) == 0
        await asyncio.sleep(0.02)
    with pytest.raises(TimeoutError):
        await readable(channel.fileno(), 0.01)


async def test_what_is_sent_arrives(line: Line) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(len(DATA)))
        await writer.drain()

    channel = await line.open(echo)
    await channel.send(DATA, 10.0)
    assert await read(channel, len(DATA)) == DATA


async def test_last_bytes_below_the_low_water_mark_wake_the_reader(line: Line) -> None:
    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(DATA[:-5])
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(DATA[-5:])
        await writer.drain()

    channel = await line.open(send)
    got = bytearray()
    while len(got) < len(DATA):
        channel.expect(len(DATA) - len(got))
        got += await read(channel, min(200_000, len(DATA) - len(got)))
    assert got == DATA


@pytest.mark.parametrize("cut", ["finish", "reset"])
async def test_cut_connection_is_told(line: Line, cut: str) -> None:
    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(DATA[:100])
        await writer.drain()
        await asyncio.sleep(0.02)
        if cut == "reset":
            writer.transport.abort()

    channel = await line.open(send)
    assert await read(channel, 100) == DATA[:100]
    with pytest.raises((EOFError, OSError)):
        await read(channel, 1)


async def handshake(port: int, context: ssl.SSLContext, timeout: float = 10.0) -> None:
    sock = await connected(port)
    channel = TlsChannel(sock, context, "127.0.0.1")
    try:
        await channel.handshake(timeout)
    finally:
        channel.close()


@pytest.mark.parametrize(
    ("server", "client", "message"),
    [
        (lambda: server_context("127.0.0.1", name="theirs"), client_context, "certificate"),
        (lambda: server_context("127.0.0.9"), client_context, "127.0.0.1"),
    ],
    ids=["another CA", "another address"],
)
async def test_certificate_that_is_not_the_peer_s_ends_the_handshake(
    server: Callable[[], ssl.SSLContext], client: Callable[[], ssl.SSLContext], message: str
) -> None:
    async def nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(nothing, "127.0.0.1", 0, ssl=server()) as listening:
        with pytest.raises(ssl.SSLCertVerificationError, match=message):
            await handshake(listening.sockets[0].getsockname()[1], client())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ssl.SSLError),
        (b"", ssl.SSLError),
        (None, TimeoutError),
    ],
)
async def test_peer_that_speaks_no_tls_ends_the_handshake(
    answer: bytes | None, error: type[Exception]
) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await reader.read(-1)
        else:
            await reader.read(100)
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as listening:
        with pytest.raises(error):
            await handshake(listening.sockets[0].getsockname()[1], client_context(), 0.2)
