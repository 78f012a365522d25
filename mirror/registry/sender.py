"""Putting bodies on a client's connection: from file to socket, without copies in between.

Plain connections bypass the server's stream once the headers are out: `sendfile` for files, plain
`send` for relayed chunks. TLS goes through uvloop, which encrypts 256 KiB at a time.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from mirror.oci.ranges import Span
from mirror.store.port import Blob
from mirror.transfer.readiness import writable

SEND_STALL = 120.0
"""Seconds after which a client that takes nothing is dropped."""

_MIB = 1024 * 1024
_WARM_BYTES = _MIB
_SENDFILE_BYTES = 64 * 1024
"""More at a time is slower by half: the client finds less of it in the cache (measured)."""

_TLS_PIECE = _MIB // 4


class ClientGone(ConnectionError):
    """The client closed its connection, or takes nothing any more."""


async def send_file(
    request: web.BaseRequest, writer: AbstractStreamWriter, blob: Blob, span: Span
) -> None:
    """Sends `span` of an open blob as the body of a prepared response.

    Raises:
        ClientGone: The client went away.
        OSError: The store failed to read.
    """
    descriptor = blob.fileno()
    if descriptor is None:
        await _send_by_reading(request, writer, blob, span)
    elif _is_tls(request):
        await _send_through_tls(request, writer, descriptor, span)
    else:
        with await _raw_socket(request) as sock:
            await _sendfile(sock, descriptor, span)


class ChunkSender:
    """Sends relayed chunks; each may be overwritten once `send` returns."""

    def __init__(
        self,
        request: web.BaseRequest,
        writer: AbstractStreamWriter,
        sock: socket.socket | None,
    ) -> None:
        self._request = request
        self._writer = writer
        self._sock = sock
        self._water_mark = 0

    @classmethod
    async def open(cls, request: web.BaseRequest, writer: AbstractStreamWriter) -> ChunkSender:
        """For the body of a prepared response.

        Raises:
            ClientGone: The client went away.
        """
        if _is_tls(request):
            return cls(request, writer, None)
        return cls(request, writer, await _raw_socket(request))

    async def send(self, chunk: memoryview) -> None:
        """Sends all of `chunk`.

        Raises:
            ClientGone: The client went away.
        """
        if self._sock is None:
            if len(chunk) > self._water_mark:
                # Small where many relays share the memory, as their chunks are.
                self._water_mark = len(chunk)
                _raise_water_mark(self._request, self._water_mark)
            for start in range(0, len(chunk), _TLS_PIECE):
                # uvloop encrypts at once; what it keeps to send later is its own copy.
                await _write(self._request, self._writer, chunk[start : start + _TLS_PIECE])
            return
        with _client_errors():
            while chunk:
                try:
                    chunk = chunk[self._sock.send(chunk) :]
                except BlockingIOError:
                    await writable(self._sock.fileno(), SEND_STALL)

    def close(self) -> None:
        """Frees the extra descriptor; the connection stays."""
        if self._sock is not None:
            self._sock.close()


async def _sendfile(sock: socket.socket, descriptor: int, span: Span) -> None:
    offset = span.start
    warm = offset
    with _client_errors():
        while offset < span.stop:
            if offset >= warm:
                warm = min(offset + _WARM_BYTES, span.stop)
                await _warm(descriptor, offset, warm)
                # A client that reads as fast as we send never makes us wait: others do.
                await asyncio.sleep(0)
            try:
                count = min(_SENDFILE_BYTES, warm - offset)
                sent = os.sendfile(sock.fileno(), descriptor, offset, count)
            except BlockingIOError:
                await writable(sock.fileno(), SEND_STALL)
                continue
            if sent == 0:
                raise OSError(errno.EIO, f"content ends at byte {offset}, expected {span.stop}")
            offset += sent


async def _send_through_tls(
    request: web.BaseRequest, writer: AbstractStreamWriter, descriptor: int, span: Span
) -> None:
    _raise_water_mark(request, _TLS_PIECE)
    buffer = memoryview(bytearray(min(_TLS_PIECE, span.length)))
    offset = span.start
    while offset < span.stop:
        piece = buffer[: min(len(buffer), span.stop - offset)]
        count = await _read_into(descriptor, piece, offset)
        if count == 0:
            raise OSError(errno.EIO, f"content ends at byte {offset}, expected {span.stop}")
        await _write(request, writer, piece[:count])
        offset += count


async def _send_by_reading(
    request: web.BaseRequest, writer: AbstractStreamWriter, blob: Blob, span: Span
) -> None:
    offset = span.start
    while offset < span.stop:
        data = await blob.read(offset, min(_MIB, span.stop - offset))
        if not data:
            raise OSError(errno.EIO, f"content ends at byte {offset}, expected {span.stop}")
        await _write(request, writer, memoryview(data))
        offset += len(data)


async def _write(request: web.BaseRequest, writer: AbstractStreamWriter, chunk: memoryview) -> None:
    """Writes at once, and waits only when the connection is full."""
    transport = request.transport
    if transport is None:
        raise ClientGone("the client closed its connection")
    with _client_errors():
        transport.write(chunk)
        if request.protocol.writing_paused:
            async with asyncio.timeout(SEND_STALL):
                await writer.drain()


async def _raw_socket(request: web.BaseRequest) -> socket.socket:
    """A second descriptor of the connection, once the headers have left the server's buffer."""
    transport = request.transport
    if transport is None:
        raise ClientGone("the client closed its connection")
    waited = 0.0
    while transport.get_write_buffer_size():
        # The first turn of the loop is all it takes, unless the client reads slowly.
        await asyncio.sleep(0.001 if waited else 0)
        waited += 0.001
        if waited > SEND_STALL:
            raise ClientGone("the client takes nothing")
    if transport.is_closing():
        raise ClientGone("the client closed its connection")
    sock = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
    sock.setblocking(False)
    return sock


async def _warm(descriptor: int, start: int, stop: int) -> None:
    """Brings a piece of a file into the page cache, in a thread unless it is there already."""
    probe = [bytearray(1)]
    try:
        os.preadv(descriptor, probe, start, os.RWF_NOWAIT)
        os.preadv(descriptor, probe, stop - 1, os.RWF_NOWAIT)
    except OSError:  # not cached, or a file system that cannot tell
        await asyncio.to_thread(_read_ahead, descriptor, start, stop)


def _read_ahead(descriptor: int, start: int, stop: int) -> None:
    os.posix_fadvise(descriptor, start, stop - start, os.POSIX_FADV_WILLNEED)
    os.pread(descriptor, 1, stop - 1)


async def _read_into(descriptor: int, buffer: memoryview, offset: int) -> int:
    try:
        return os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
    except OSError:  # not cached, or a file system that cannot tell
        return await asyncio.to_thread(os.preadv, descriptor, [buffer], offset)


def _is_tls(request: web.BaseRequest) -> bool:
    transport = request.transport
    return transport is not None and transport.get_extra_info("sslcontext") is not None


def _raise_water_mark(request: web.BaseRequest, size: int) -> None:
    """Lets `size` bytes wait for the socket, so that it is fed while more is encrypted."""
    if request.transport is not None:
        request.transport.set_write_buffer_limits(high=size)


@contextmanager
def _client_errors() -> Iterator[None]:
    """Turns what a send can fail with into `ClientGone`, but for reads that fail."""
    try:
        yield
    except TimeoutError as error:
        raise ClientGone(f"the client took nothing for {SEND_STALL:g} s") from error
    except ConnectionError as error:
        raise ClientGone("the client closed its connection") from error
