"""The kept stream to one peer: exchanges pipelined in order, retried once when it had broken."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from p2p.port import PeerAddress, PeerUnreachable
from p2p.wire.frames import MAX_MESSAGE_BYTES, ProtocolError, propose, read_agreement, read_frame
from p2p.wire.stream import BufferedStream

log = logging.getLogger("spegla.p2p")

IDLE_SECONDS = 45.0
"""Before Go resets a stream without messages, after 60 s: what is written then is lost."""


@dataclass(slots=True, eq=False)
class Exchange:
    """Something to send, and the answer if one is due.

    Attributes:
        data: Framed messages.
        wants_answer: Whether exactly one message comes back.
        deadline: In trio's time; after it nobody waits any more.
    """

    data: bytes
    wants_answer: bool
    deadline: float
    answer: bytes = b""
    error: str | None = None
    retried: bool = False
    done: trio.Event = field(default_factory=trio.Event)

    def succeed(self, answer: bytes = b"") -> None:
        """Hands out the answer."""
        self.answer = answer
        self.done.set()

    def fail(self, cause: str) -> None:
        """Tells why there is no answer."""
        self.error = cause
        self.done.set()


class Line:
    """All exchanges with one peer over one protocol.

    Its task owns the stream. Callers hand in exchanges and wait; when they give up, the I/O goes
    on, and a late answer is read and dropped in its place.

    Attributes:
        peer: Where the next stream is opened; set it anew when the peer has moved.
        closed: Whether it takes no more exchanges.
    """

    def __init__(
        self,
        protocol: str,
        peer: PeerAddress,
        open_stream: Callable[[PeerAddress], Awaitable[BufferedStream]],
    ) -> None:
        self.peer = peer
        self.closed = False
        self._protocol = protocol
        self._open_stream = open_stream
        self._queue: deque[Exchange] = deque()
        self._waiting: deque[Exchange] = deque()
        self._stream: BufferedStream | None = None
        self._reading = trio.CancelScope()
        self._broken: str | None = None
        self._wake = trio.Event()
        self._used_at = trio.current_time()

    def submit(self, exchange: Exchange) -> None:
        """Queues an exchange; call only while not `closed`."""
        self._queue.append(exchange)
        self._used_at = trio.current_time()
        self._wake.set()

    async def run(self) -> None:
        """Serves exchanges until none came for `IDLE_SECONDS`."""
        try:
            async with trio.open_nursery() as nursery:
                await self._serve(nursery)
                self._give_up_stream(nursery)
        except Exception:
            log.exception("the line for %s failed, its requests with it", self._protocol)
        finally:
            self.closed = True
            for exchange in (*self._waiting, *self._queue):
                exchange.fail("the connection is closing")

    async def _serve(self, nursery: trio.Nursery) -> None:
        while True:
            self._wake = trio.Event()
            now = trio.current_time()
            if self._broken is not None:
                self._recover(nursery, self._broken, now)
            elif self._waiting and self._waiting[0].deadline <= now:
                self._recover(nursery, None, now)
            if self._queue:
                await self._write_queue(nursery)
                continue
            idle_at = self._used_at + IDLE_SECONDS
            if not self._waiting and now >= idle_at:
                self.closed = True
                return
            with trio.move_on_at(self._waiting[0].deadline if self._waiting else idle_at):
                await self._wake.wait()

    async def _write_queue(self, nursery: trio.Nursery) -> None:
        batch = list(self._queue)
        self._queue.clear()
        opening = b""
        if self._stream is None:
            try:
                self._stream = await self._open_stream(self.peer)
            except PeerUnreachable as error:
                for exchange in (*batch, *self._queue):
                    exchange.fail(str(error))
                self._queue.clear()
                return
            opening = propose(self._protocol)
            self._reading = trio.CancelScope()
            nursery.start_soon(self._read_answers, self._stream, self._reading)
        self._waiting.extend(exchange for exchange in batch if exchange.wants_answer)
        try:
            await self._stream.write(opening + b"".join(exchange.data for exchange in batch))
        except Exception as error:
            self._broken = str(error) or type(error).__name__
            # In order before what waits: what was sent without an answer is sent again, too.
            self._waiting.extendleft(
                reversed([exchange for exchange in batch if not exchange.wants_answer])
            )
            return
        for exchange in batch:
            if not exchange.wants_answer:
                exchange.succeed()

    async def _read_answers(self, stream: BufferedStream, scope: trio.CancelScope) -> None:
        with scope:
            try:
                await read_agreement(stream, self._protocol)
                while True:
                    answer = await read_frame(stream, MAX_MESSAGE_BYTES)
                    if not self._waiting:
                        raise ProtocolError("an answer that nobody asked for")
                    self._waiting.popleft().succeed(answer)
                    self._used_at = trio.current_time()
            except Exception as error:
                if self._stream is stream:
                    self._broken = str(error) or type(error).__name__
                    self._wake.set()

    def _recover(self, nursery: trio.Nursery, broken: str | None, now: float) -> None:
        """Drops the stream; what it left open is tried once more if time and cause allow."""
        self._give_up_stream(nursery)
        cause = broken or "no answer in time"
        again: list[Exchange] = []
        for exchange in self._waiting:
            if broken is None or exchange.retried or exchange.deadline <= now:
                exchange.fail(cause)
            else:
                exchange.retried = True
                again.append(exchange)
        self._waiting.clear()
        self._queue.extendleft(reversed(again))

    def _give_up_stream(self, nursery: trio.Nursery) -> None:
        stream, self._stream, self._broken = self._stream, None, None
        self._reading.cancel()
        if stream is not None:
            nursery.start_soon(stream.reset)
