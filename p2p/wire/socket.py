"""A TCP connection in the shape that py-libp2p's handshakes read and write."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

import trio
from libp2p.io.exceptions import ConnectionClosedError

from p2p.wire.xsalsa20 import NONCE_BYTES, StreamCipher, xsalsa20

if TYPE_CHECKING:
    from p2p.wire.address import Endpoint, IPAddress

_CHUNK = 64 * 1024
_KEEPALIVE = (
    (socket.TCP_KEEPIDLE, 15),
    (socket.TCP_KEEPINTVL, 5),
    (socket.TCP_KEEPCNT, 3),
    # A peer whose power or link went away is noticed after 20 s, not after the kernel's 15 minutes.
    (socket.TCP_USER_TIMEOUT, 20_000),
    (socket.TCP_NODELAY, 1),
)


async def connect(endpoint: Endpoint) -> trio.SocketStream:
    """Opens a TCP connection.

    Raises:
        OSError: Refused, unreachable, or whatever the kernel says.
    """
    family = trio.socket.AF_INET if endpoint.ip.version == 4 else trio.socket.AF_INET6
    sock = trio.socket.socket(family, trio.socket.SOCK_STREAM)
    try:
        await sock.connect((str(endpoint.ip), endpoint.port))
        return trio.SocketStream(sock)
    except BaseException:
        sock.close()
        raise


class WireSocket:
    """A buffered socket, encrypted with the network's pre-shared key if it has one.

    Attributes:
        remote: The other end's IP address.
        port: The other end's TCP port.
        is_initiator: Whether this side dialled.
        has_received: Whether the other side has sent anything.
    """

    def __init__(
        self,
        stream: trio.SocketStream,
        remote: IPAddress,
        port: int,
        *,
        is_initiator: bool,
        psk: bytes | None,
    ) -> None:
        self.remote = remote
        self.is_initiator = is_initiator
        self.has_received = False
        self.port = port
        self._stream = stream
        self._psk = psk
        self._encryptor: StreamCipher | None = None
        self._decryptor: StreamCipher | None = None
        self._buffer = bytearray()
        with contextlib.suppress(OSError):  # reset already; the next read says so
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                stream.setsockopt(socket.IPPROTO_TCP, option, value)

    async def protect(self) -> None:
        """Exchanges the nonces of a private network; nothing to do in an open one.

        Raises:
            ConnectionClosedError: The other side went away.
        """
        if self._psk is None:
            return
        nonce = os.urandom(NONCE_BYTES)
        await self._send(nonce)
        self._encryptor = xsalsa20(self._psk, nonce)
        theirs = b""
        while len(theirs) < NONCE_BYTES:
            theirs += await self._receive_some(NONCE_BYTES - len(theirs))
        self._decryptor = xsalsa20(self._psk, theirs)

    async def read(self, n: int | None = None) -> bytes:
        """One to `n` bytes.

        Raises:
            ConnectionClosedError: The connection is over. py-libp2p's other choice, an empty
                answer, makes its readers spin a hundred times.
        """
        if n == 0:
            return b""
        if not self._buffer:
            data = await self._receive_some(_CHUNK)
            self._buffer += self._decryptor.encrypt(data) if self._decryptor else data
        taken = bytes(self._buffer if n is None else self._buffer[:n])
        del self._buffer[: len(taken)]
        return taken

    async def write(self, data: bytes) -> None:
        """Sends all of `data`. Cut in the middle, the connection is of no use any more.

        Raises:
            ConnectionClosedError: The connection is over.
        """
        await self._send(self._encryptor.encrypt(data) if self._encryptor else data)

    async def close(self) -> None:
        """Closes at once, waking whoever reads or writes."""
        self.abort()
        await trio.lowlevel.checkpoint()

    def abort(self) -> None:
        """Closes at once, without a chance for others to run."""
        with contextlib.suppress(OSError):
            self._stream.socket.shutdown(socket.SHUT_WR)
        self._stream.socket.close()

    def get_remote_address(self) -> tuple[str, int]:
        """The other end, as py-libp2p asks for it."""
        return str(self.remote), self.port

    async def _send(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("connection closed") from error

    async def _receive_some(self, limit: int) -> bytes:
        try:
            data = bytes(await self._stream.receive_some(limit))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("connection closed") from error
        if not data:
            raise ConnectionClosedError("connection closed by the peer")
        self.has_received = True
        return data
