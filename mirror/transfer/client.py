"""Asking one peer's registry for one thing, and telling the book how it went."""

from __future__ import annotations

import logging
import ssl
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Executor

from mirror.errors import NotHere
from mirror.oci import media
from mirror.oci.ranges import Span, parse_content_range
from mirror.transfer.connection import Connection
from mirror.transfer.limits import Limits
from mirror.transfer.pace import Pace
from mirror.transfer.peers import Fault, PeerBook
from mirror.transfer.response import MalformedResponse, ResponseHead
from mirror.transfer.stalls import Stalls
from mirror.transfer.verify import Verifier
from mirror.transfer.wanted import Wanted

log = logging.getLogger("spegla.transfer")

MIRRORED_HEADER = "X-Spegel-Mirrored"
"""Set on every request between nodes: answer from what you hold, never ask others in turn."""

DOUBT_HEADER = "Spegla-Doubt"
"""Set when the peer's last bytes of this content did not match their digest: it should check."""

_LONGEST_RETRY = 1.0
_ACCEPT = ", ".join(sorted(media.MANIFEST_TYPES))
_IDLE_SECONDS = 30.0
_IDLE_PER_PEER = 8


class Busy(NotHere):
    """The peer is busy and may have it.

    Attributes:
        retry_after: Seconds until it may be asked again.
    """

    def __init__(self, address: str, retry_after: float) -> None:
        super().__init__(f"peer {address} is busy")
        self.retry_after = retry_after


class PeerFault(Exception):
    """The peer is broken, unreachable or too slow; it has lost its place for a while."""

    def __init__(self, address: str, fault: Fault, cause: str) -> None:
        super().__init__(f"peer {address}: {cause}")
        self.address = address
        self.fault = fault


class PeerClient:
    """Talks to the registries of peers over kept connections.

    All registries of a cluster share scheme and port (Spegel's wire).
    """

    def __init__(
        self,
        book: PeerBook,
        *,
        port: int,
        tls: ssl.SSLContext | None,
        executor: Executor,
        limits: Limits,
        clock: Callable[[], float],
        agent: str,
    ) -> None:
        self.book = book
        self.limits = limits
        self.clock = clock
        self._port = port
        self._tls = tls
        self._executor = executor
        self._agent = agent
        self.stalls = Stalls()
        self.on_wrong_bytes: Callable[[str, Wanted], None] = _tell_nobody
        self._idle: defaultdict[str, deque[tuple[float, Connection]]] = defaultdict(deque)

    async def ask(
        self,
        address: str,
        wanted: Wanted,
        method: str = "GET",
        span: Span | None = None,
        *,
        doubt: bool = False,
    ) -> Response:
        """Sends one request; returns once the head of a good answer is here.

        With `doubt` the peer is told as well that its bytes were wrong the last time.

        Raises:
            Busy: The peer is busy now.
            NotHere: The peer does not hold it, or will not say.
            PeerFault: The peer failed; the book knows.
        """
        started = self.clock()
        request = self._request(address, wanted, method, span, doubt=doubt)
        try:
            connection, head = await self._exchange(address, method, request)
        except (TimeoutError, EOFError, OSError, MalformedResponse) as error:
            raise self.fault(address, error) from error
        try:
            if head.status not in (200, 206):
                raise self._refusal(address, wanted, head, self.clock() - started)
            size = _check_span(head, span, method)
        except ValueError as error:
            connection.close()
            raise self.fault(address, MalformedResponse(str(error))) from error
        except BaseException:
            connection.discard_buffered()
            self.release(address, connection)
            raise
        self.book.answered(address, self.clock() - started)
        return Response(self, address, wanted, connection=connection, head=head, size=size)

    def hurried(self, wanted: Wanted) -> tuple[float, float]:
        """Seconds for a search for `wanted`, and without a byte of it in mid-body."""
        return self.limits.hurried(self.stalls.count(wanted.key, self.clock()))

    def fault(self, address: str, error: Exception) -> PeerFault:
        """Books what went wrong with a peer, as the error to raise."""
        if isinstance(error, TimeoutError):
            fault, cause = Fault.STALLED, "no answer in time"
        elif isinstance(error, MalformedResponse):
            fault, cause = Fault.BROKEN, str(error)
        else:
            fault, cause = Fault.UNREACHABLE, str(error) or type(error).__name__
        return self.book_fault(address, fault, cause)

    def book_fault(self, address: str, fault: Fault, cause: str) -> PeerFault:
        """Books a fault and tells the log of a peer's first; returns the error to raise."""
        self.book.failed(address, fault, self.clock())
        error = PeerFault(address, fault, cause)
        if self.book.get(address).faults == 1:
            log.warning("%s; it is not asked for a while", error)
        return error

    def close(self) -> None:
        """Closes all idle connections."""
        for connections in self._idle.values():
            for _, connection in connections:
                connection.close()
        self._idle.clear()

    def release(self, address: str, connection: Connection) -> None:
        """Keeps a connection for the next request if its answer was read to the end."""
        idle = self._idle[address]
        if not connection.reusable or len(idle) >= _IDLE_PER_PEER:
            connection.close()
            return
        connection.reused = True
        idle.append((self.clock(), connection))

    def sweep(self) -> None:
        """Closes connections that were idle for 30 s; to be called now and then."""
        oldest = self.clock() - _IDLE_SECONDS
        for address in list(self._idle):
            idle = self._idle[address]
            while idle and idle[0][0] < oldest:
                idle.popleft()[1].close()
            if not idle:
                del self._idle[address]

    async def _exchange(
        self, address: str, method: str, request: bytes
    ) -> tuple[Connection, ResponseHead]:
        while (connection := self._take_idle(address)) is not None:
            try:
                return connection, await connection.request(method, request, self.limits.head)
            except (EOFError, ConnectionError, ssl.SSLError):
                connection.close()  # the peer had closed it: that is no fault, a fresh one tells
            except BaseException:
                connection.close()
                raise
        connection = await Connection.open(
            address, self._port, self._tls, self._executor, self.limits
        )
        try:
            return connection, await connection.request(method, request, self.limits.head)
        except BaseException:
            connection.close()
            raise

    def _take_idle(self, address: str) -> Connection | None:
        idle = self._idle.get(address)
        while idle:
            connection = idle.pop()[1]
            if connection.idle:
                return connection
            connection.close()
        return None

    def _refusal(
        self, address: str, wanted: Wanted, head: ResponseHead, seconds: float
    ) -> NotHere | PeerFault:
        status = head.status
        if status != 503 and (status >= 500 or status in (401, 403)):
            return self.fault(address, MalformedResponse(f"answered {status}"))
        now = self.clock()
        self.book.answered(address, seconds)
        if status in (429, 503):
            self.book.slow(address, now)
            return Busy(address, _retry_after(head))
        # 404, and whatever else means that it cannot help with this one: no fault of its.
        self.book.proved(address)
        self.book.absent(address, wanted.key, now)
        return NotHere(f"peer {address} answered {status}")

    def _request(
        self, address: str, wanted: Wanted, method: str, span: Span | None, *, doubt: bool
    ) -> bytes:
        host = f"[{address}]" if ":" in address else address
        lines = [
            f"{method} {wanted.target} HTTP/1.1",
            f"Host: {host}:{self._port}",
            f"User-Agent: {self._agent}",
            f"{MIRRORED_HEADER}: true",
            f"Accept: {_ACCEPT}",
        ]
        if doubt:
            lines.append(f"{DOUBT_HEADER}: true")
        if span is not None:
            lines.append(f"Range: bytes={span.start}-{span.stop - 1}")
        return "\r\n".join([*lines, "", ""]).encode("ascii")


class Response:
    """A good answer of a peer, its body still to be read.

    Attributes:
        address: The peer.
        head: Status and headers.
        size: Bytes of the whole content (not of the span that was asked for).
    """

    def __init__(
        self,
        client: PeerClient,
        address: str,
        wanted: Wanted,
        *,
        connection: Connection,
        head: ResponseHead,
        size: int,
    ) -> None:
        self.address = address
        self._wanted = wanted
        self.head = head
        self.size = size
        self._client = client
        self._connection = connection
        self._peer = client.book.get(address)
        self._started = client.clock()
        self._length = connection.remaining
        _, stall = client.hurried(wanted)
        self._pace = Pace(stall)
        self._failed = False
        self._closed = False
        self._peer.running += 1

    async def read(self, buffer: memoryview, verifier: Verifier | None) -> int:
        """Reads some of the body into `buffer`; 0 at its end.

        Raises:
            PeerFault: The peer stalled, trickled, or its connection broke; the book knows.
        """
        client = self._client
        if self._connection.remaining and not self._pace.left:
            client.stalls.add(self._wanted.key, client.clock())
            raise self.fail(Fault.STALLED, "its bytes trickle")
        started = client.clock()
        try:
            count = await self._connection.read(buffer, verifier, self._pace.left)
        except (TimeoutError, EOFError, OSError) as error:
            self._failed = True
            if isinstance(error, TimeoutError):
                client.stalls.add(self._wanted.key, client.clock())
            raise client.fault(self.address, error) from error
        # Told by the next read: these bytes are hashed already, so the caller must get them.
        self._pace.landed(count, client.clock() - started)
        return count

    async def read_all(self, verifier: Verifier | None) -> bytearray:
        """Reads the whole body into memory; the caller has looked at its length.

        Raises:
            PeerFault: As in `read`.
        """
        data = bytearray(self._connection.remaining)
        view = memoryview(data)
        while count := await self.read(view, verifier):
            view = view[count:]
        return data

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def fail(self, fault: Fault, cause: str) -> PeerFault:
        """Books what is wrong with the answer, as the error to raise."""
        self._failed = True
        if fault is Fault.WRONG_BYTES:
            self._client.on_wrong_bytes(self.address, self._wanted)
        return self._client.book_fault(self.address, fault, cause)

    def close(self) -> None:
        """Gives the connection back, or ends it when the body was not read to its end."""
        if self._closed:
            return
        self._closed = True
        self._peer.running -= 1
        if not self._failed and self._connection.remaining == 0:
            self._client.book.proved(self.address)
        done = self._length - self._connection.remaining
        if done >= self._client.limits.chunk:
            self._client.book.delivered(self.address, done, self._client.clock() - self._started)
        self._client.release(self.address, self._connection)


def _tell_nobody(_address: str, _wanted: Wanted) -> None:
    """Until somebody wants to know of wrong bytes."""


def _retry_after(head: ResponseHead) -> float:
    """Seconds that a busy peer asks for, cut to what a pull can wait."""
    text = head.headers.get("retry-after", "")
    seconds = float(text) if text.isascii() and text.isdigit() else 1.0
    return min(seconds, _LONGEST_RETRY)


def _check_span(head: ResponseHead, span: Span | None, method: str) -> int:
    """The size of the content, from an answer that covers just what was asked.

    Raises:
        ValueError: It covers something else.
    """
    length = head.content_length
    if span is None or method == "HEAD":
        if head.status != 200:
            raise ValueError(f"answered {head.status} to a request without a range")
        return length
    if head.status == 200:
        raise ValueError("answered a range with the whole content")
    answered, size = parse_content_range(head.headers.get("content-range", ""))
    if answered != span or length != span.length:
        raise ValueError(f"answered bytes {answered.start}-{answered.stop - 1}, not what was asked")
    return size
