"""One HTTP/1.1 connection to a peer's registry, kept for several requests.

Own code instead of a client library, because bodies must land in our buffers and be hashed in a
worker thread: that is the transfer this project exists for (docs/decisions/0001).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from concurrent.futures import Executor

from mirror.transfer.channel import Channel, PlainChannel, TlsChannel
from mirror.transfer.limits import Limits
from mirror.transfer.readiness import readable
from mirror.transfer.response import MAX_HEAD_BYTES, MalformedResponse, ResponseHead, parse_head
from mirror.transfer.verify import INLINE_BYTES, Verifier

_CACHED_BYTES = 256 * 1024

_PATIENCE = 0.1
"""Seconds to wait for a large piece; slower links deliver what they have."""


class Connection:
    """A connection that carries one request at a time.

    Attributes:
        reused: Whether it carried a request before; a failure before any byte of an answer then
            only means that the peer had closed it.
    """

    def __init__(self, channel: Channel, executor: Executor) -> None:
        self._channel = channel
        self._executor = executor
        self._job: asyncio.Future[int] | None = None
        self._buffered = memoryview(b"")
        self._remaining = 0
        self._closed = False
        self._keep_alive = True
        self.reused = False

    @classmethod
    async def open(
        cls, address: str, port: int, tls: ssl.SSLContext | None, executor: Executor, limits: Limits
    ) -> Connection:
        """Connects, with TLS where a context is given.

        Raises:
            TimeoutError: Not connected within `limits.connect` seconds.
            OSError: Refused, unreachable, or TLS failed (`ssl.SSLError` is one).
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _keep_watch(sock, limits.unacknowledged)
            async with asyncio.timeout(limits.connect):
                await asyncio.get_running_loop().sock_connect(sock, (address, port))
                if tls is None:
                    return cls(PlainChannel(sock), executor)
                channel = TlsChannel(sock, tls, address)
                await channel.handshake(limits.connect)
                return cls(channel, executor)
        except BaseException:
            sock.close()
            raise

    @property
    def remaining(self) -> int:
        """Bytes of the body that `read` has not returned yet."""
        return self._remaining

    @property
    def reusable(self) -> bool:
        """Whether the answer was read to its end and another request may follow."""
        complete = self._remaining == 0 and not self._buffered
        return not self._closed and self._keep_alive and complete

    @property
    def idle(self) -> bool:
        """False when the peer closed a kept connection meanwhile, or sent unasked bytes."""
        probe = memoryview(bytearray(1))
        try:
            return not self._closed and self._channel.fill(probe) == 0
        except (EOFError, OSError):
            return False

    async def request(self, method: str, head: bytes, timeout: float) -> ResponseHead:
        """Sends a request and waits for the head of its answer.

        Args:
            method: `GET` or `HEAD`; tells whether a body follows.
            head: The whole request, up to and including its blank line.
            timeout: Seconds until the head must be there.

        Raises:
            TimeoutError: It was not.
            EOFError, OSError: The connection broke.
            MalformedResponse: The peer does not speak HTTP as it must.
        """
        async with asyncio.timeout(timeout):
            self._channel.expect(0)
            await self._channel.send(head, timeout)
            answer = await self._read_head(timeout)
        self._keep_alive = answer.keep_alive
        if method == "HEAD" or answer.status in (204, 304):
            self._remaining = 0
        elif answer.status in (200, 206):
            self._remaining = answer.content_length
        else:
            self._remaining = self._length_of_refusal(answer)
        return answer

    async def read(self, buffer: memoryview, verifier: Verifier | None, timeout: float) -> int:
        """Reads some of the body, hashing it on the way.

        Large reads run in a worker thread, so that neither decryption nor hashing holds up the
        event loop. At most one read may be under way.

        Returns:
            Bytes now in `buffer`; 0 only when the body is complete.

        Raises:
            TimeoutError: Nothing came for `timeout` seconds.
            EOFError, OSError: The connection broke before the body's end.
        """
        buffer = buffer[: self._remaining]
        if not buffer:
            return 0
        if self._buffered:
            count = self._take_buffered(buffer)
            if verifier is not None:
                verifier.feed(buffer[:count])
        else:
            self._channel.expect(self._remaining)
            count = await self._fill(buffer, verifier)
            while count == 0:
                await self._arrival(timeout)
                count = await self._fill(buffer, verifier)
        self._remaining -= count
        return count

    def discard_buffered(self) -> None:
        """Drops the body if all of it came along with the head, as that of a refusal does."""
        if len(self._buffered) == self._remaining:
            self._buffered = memoryview(b"")
            self._remaining = 0

    def close(self) -> None:
        """Ends the connection; a read under way in a thread finishes first (microseconds)."""
        if self._closed:
            return
        self._closed = True
        if self._job is not None and not self._job.done():
            self._job.add_done_callback(lambda _: self._channel.close())
        else:
            self._channel.close()

    def _length_of_refusal(self, answer: ResponseHead) -> int:
        """Nobody reads that body: when its end is unknown, the connection just is not kept."""
        try:
            return answer.content_length
        except MalformedResponse:
            self._keep_alive = False
            return 0

    async def _read_head(self, timeout: float) -> ResponseHead:
        data = bytearray()
        chunk = memoryview(bytearray(MAX_HEAD_BYTES))
        while True:
            count = self._channel.fill(chunk)
            if count == 0:
                await readable(self._channel.fileno(), timeout)
                continue
            data += chunk[:count]
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                self._buffered = memoryview(bytes(data[end + 4 :]))
                return parse_head(bytes(data[:end]))
            if len(data) > MAX_HEAD_BYTES:
                raise MalformedResponse(f"response head exceeds {MAX_HEAD_BYTES} bytes")

    def _take_buffered(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._buffered))
        buffer[:count] = self._buffered[:count]
        self._buffered = self._buffered[count:]
        return count

    async def _arrival(self, timeout: float) -> None:
        """Waits for a large piece; on a slow link, after a moment, for any."""
        patience = min(timeout / 2, _PATIENCE)
        try:
            await readable(self._channel.fileno(), patience)
        except TimeoutError:
            self._channel.expect(0)
            await readable(self._channel.fileno(), timeout - patience)

    async def _fill(self, buffer: memoryview, verifier: Verifier | None) -> int:
        if len(buffer) <= INLINE_BYTES:
            return _fill_and_hash(self._channel, buffer, verifier)
        loop = asyncio.get_running_loop()
        self._job = loop.run_in_executor(
            self._executor, _fill_and_hash, self._channel, buffer, verifier
        )
        self._job.add_done_callback(_retrieve)
        # Shielded: a thread cannot be cancelled, and close() must know that it still reads.
        return await asyncio.shield(self._job)


def _fill_and_hash(channel: Channel, buffer: memoryview, verifier: Verifier | None) -> int:
    """Fills the buffer piece by piece, so that a piece is hashed while the cache holds it."""
    got = 0
    while got < len(buffer):
        piece = buffer[got : got + _CACHED_BYTES]
        try:
            count = channel.fill(piece)
        except (EOFError, OSError):
            if got:
                break  # the next read tells; these bytes are hashed, so the caller must get them
            raise
        if verifier is not None and count:
            verifier.feed(piece[:count])
        got += count
        if count < len(piece):
            break
    return got


def _retrieve(job: asyncio.Future[int]) -> None:
    """Takes the outcome of a read whose caller was cancelled; others get it by awaiting."""
    if not job.cancelled():
        job.exception()


def _keep_watch(sock: socket.socket, seconds: float) -> None:
    """Lets the kernel drop a connection whose peer acknowledges nothing for `seconds`.

    That tells a dead node or a cut network (nothing is acknowledged) from a busy process (the
    kernel acknowledges for it), which plain time-outs cannot.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
