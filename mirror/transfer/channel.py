"""Bytes to and from a peer over a non-blocking socket, plain or TLS.

uvloop's own streams copy each read and wake the loop every 64 KiB; reading large chunks straight
into a buffer, in a worker thread, relays 1.5 to 2 times as fast (docs/performance.md).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Protocol, cast

from mirror.transfer.readiness import readable, writable

_CIPHERTEXT_BYTES = 256 * 1024


class Channel(Protocol):
    """A connected stream."""

    def fileno(self) -> int:
        """The socket's descriptor."""
        ...

    def fill(self, buffer: memoryview) -> int:
        """Reads what has arrived, never blocks; may run in a worker thread.

        Returns:
            Bytes read; 0 when nothing has arrived yet.

        Raises:
            EOFError: The peer closed.
            OSError: The connection broke.
        """
        ...

    async def send(self, data: bytes, timeout: float) -> None:
        """Sends all of `data`; for requests, which fit a socket buffer.

        Raises:
            TimeoutError: The peer did not take it within `timeout` seconds.
            OSError: The connection broke.
        """
        ...

    def expect(self, size: int) -> None:
        """Tells how many bytes are to come: of many, the kernel wakes us for large pieces only."""
        ...

    def close(self) -> None:
        """Closes the socket; not while `fill` runs in a thread."""
        ...


class _SocketChannel:
    """What both kinds of channel do with their socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._low_water = _LowWater(sock)

    def fileno(self) -> int:
        """See `Channel`."""
        return self._sock.fileno()

    def expect(self, size: int) -> None:
        """See `Channel`."""
        self._low_water.set(size)

    def close(self) -> None:
        """See `Channel`."""
        self._sock.close()


class PlainChannel(_SocketChannel):
    """TCP."""

    def fill(self, buffer: memoryview) -> int:
        """See `Channel`."""
        got = 0
        while got < len(buffer):
            try:
                count = self._sock.recv_into(buffer[got:])
            except BlockingIOError:
                break
            if count == 0:
                if got:
                    break
                raise EOFError("the peer closed the connection")
            got += count
        return got

    async def send(self, data: bytes, timeout: float) -> None:
        """See `Channel`."""
        await _send_all(self._sock, data, timeout)


class TlsChannel(_SocketChannel):
    """TLS over TCP, with the records decrypted where `fill` runs."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, address: str) -> None:
        """Wraps a connected socket; the peer's certificate must be valid for `address`."""
        super().__init__(sock)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=address)

    async def handshake(self, timeout: float) -> None:
        """Agrees on keys and checks the peer's certificate.

        Raises:
            ssl.SSLError: The peer's certificate is not of our CA, or it speaks no TLS.
            TimeoutError: It stayed silent for `timeout` seconds.
            OSError: The connection broke.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush(timeout)
                await readable(self._sock.fileno(), timeout)
                self._receive()
            else:
                await self._flush(timeout)
                return

    def fill(self, buffer: memoryview) -> int:
        """See `Channel`."""
        got = 0
        while got < len(buffer):
            try:
                # With a buffer it returns a count, which the stubs do not know.
                count = cast("int", self._tls.read(len(buffer) - got, buffer[got:]))
            except ssl.SSLWantReadError:
                if not self._receive():
                    break
                continue
            except ssl.SSLZeroReturnError:
                count = 0
            if count == 0:
                if got:
                    break
                raise EOFError("the peer closed the connection")
            got += count
        return got

    async def send(self, data: bytes, timeout: float) -> None:
        """See `Channel`."""
        self._tls.write(data)
        await self._flush(timeout)

    def _receive(self) -> bool:
        """Moves arrived ciphertext into the TLS machine; False when there is none."""
        ciphertext = _ciphertext()
        try:
            count = self._sock.recv_into(ciphertext)
        except BlockingIOError:
            return False
        if count == 0:
            self._incoming.write_eof()
        else:
            self._incoming.write(ciphertext[:count])
        return True

    async def _flush(self, timeout: float) -> None:
        if data := self._outgoing.read():
            await _send_all(self._sock, data, timeout)


_of_thread = threading.local()


def _ciphertext() -> memoryview:
    """A buffer of this thread, not of the connection: of those there may be hundreds, idle."""
    buffer: memoryview | None = getattr(_of_thread, "ciphertext", None)
    if buffer is None:
        buffer = _of_thread.ciphertext = memoryview(bytearray(_CIPHERTEXT_BYTES))
    return buffer


class _LowWater:
    """SO_RCVLOWAT: the kernel wakes us for large pieces; saves 40 % of a relay's CPU."""

    _BYTES = 512 * 1024

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._current = 1

    def set(self, remaining: int) -> None:
        # With less than the mark to come the kernel would never wake us.
        wanted = self._BYTES if remaining >= 2 * self._BYTES else 1
        if wanted != self._current:
            self._current = wanted
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)


async def _send_all(sock: socket.socket, data: bytes, timeout: float) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[sock.send(view) :]
        except BlockingIOError:
            await writable(sock.fileno(), timeout)
