"""One connection to one peer: its muxer, the streams the peer opens, and what identify told."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio
from libp2p.stream_muxer.yamux.yamux import YamuxStream

from p2p.port import PeerAddress, PeerConnected, PeerUnreachable
from p2p.wire.address import Endpoint, show_peer
from p2p.wire.frames import frame, propose, read_agreement
from p2p.wire.identify import IDENTIFY, IDENTIFY_PUSH, read_identify
from p2p.wire.muxer import close_muxer
from p2p.wire.stream import BufferedStream

if TYPE_CHECKING:
    from p2p.wire.upgrade import Upgraded

log = logging.getLogger("spegla.p2p")

MAX_INBOUND_STREAMS = 32
"""Streams a peer may have open on a connection; Go has one for the DHT, one for identify."""

_IDENTIFY_SECONDS = 5.0

ServeStream = Callable[["Connection", BufferedStream], Awaitable[None]]


class Connection:
    """A live connection. Its task ends when the connection does, and ends it when cancelled.

    Attributes:
        peer: Who is at the other end.
        remote: The other end.
        dialled: The same where this side dialled it, so that the peer listens there.
        about: What identify told, once it has.
        used_at: When a stream was last opened, in trio's time.
        ended: Set when the connection is closed for good.
    """

    def __init__(self, upgraded: Upgraded, serve: ServeStream) -> None:
        self.peer = upgraded.peer
        self.remote = Endpoint(upgraded.socket.remote, upgraded.socket.port)
        self.dialled = self.remote if upgraded.socket.is_initiator else None
        self.about: PeerConnected | None = None
        self.used_at = trio.current_time()
        self._muxer = upgraded.muxer
        self._socket = upgraded.socket
        self._serve = serve
        self.ended = trio.Event()
        self._inbound = 0
        self._closing = trio.CancelScope()

    @property
    def is_open(self) -> bool:
        """Whether streams can still be opened."""
        return not (self._muxer.event_shutting_down.is_set() or self._closing.cancel_called)

    @property
    def is_idle(self) -> bool:
        """Whether no stream is open in either direction."""
        return not self._muxer.streams

    @property
    def address(self) -> PeerAddress:
        """The peer, with the addresses it told, none before it did."""
        return self.about.address if self.about else PeerAddress(self.peer, ())

    @property
    def latency(self) -> float:
        """Smoothed round trip of yamux's ping in seconds, 0 before the first."""
        return self._muxer.rtt()

    def close(self) -> None:
        """Asks the connection's task to end it; `run` returns half a second later at most."""
        self._closing.cancel()

    async def run(self, identified: Callable[[Connection], None]) -> None:
        """Carries the connection until it ends. Never raises but for cancellation.

        Args:
            identified: Called when identify told who the peer is.
        """
        try:
            with self._closing:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._accept_streams, nursery)
                    nursery.start_soon(self._identify, identified)
                    await self._muxer.start()
                    nursery.cancel_scope.cancel()
        except Exception:
            log.debug("connection to %s failed", show_peer(self.peer), exc_info=True)
        finally:
            await close_muxer(self._muxer, self._socket)
            self.ended.set()

    async def open_stream(self) -> BufferedStream:
        """Opens a stream; the caller negotiates its protocol.

        Raises:
            PeerUnreachable: The connection is over.
        """
        self.used_at = trio.current_time()
        try:
            with trio.fail_after(_IDENTIFY_SECONDS):
                await self._muxer.event_started.wait()
                return BufferedStream(await self._muxer.open_stream())
        except Exception as error:
            raise PeerUnreachable(f"no new stream: {str(error) or type(error).__name__}") from error

    def learn(self, about: PeerConnected) -> None:
        """Takes what identify told. A peer that names no address is dialled where it came from."""
        self.about = about

    async def push(self, description: bytes) -> None:
        """Tells the peer what it should know of this node from now on. Never raises."""
        try:
            with trio.fail_after(_IDENTIFY_SECONDS):
                stream = await self.open_stream()
                try:
                    await stream.write(propose(IDENTIFY_PUSH) + frame(description))
                    await read_agreement(stream, IDENTIFY_PUSH)
                finally:
                    with trio.CancelScope(shield=True):
                        await stream.close()
        except Exception as error:
            log.debug("telling %s of our addresses failed: %s", show_peer(self.peer), error)

    async def _accept_streams(self, nursery: trio.Nursery) -> None:
        with contextlib.suppress(Exception):  # the muxer's end has several names
            while True:
                stream = await self._muxer.accept_stream()
                if not isinstance(stream, YamuxStream):
                    continue
                nursery.start_soon(self._serve_stream, BufferedStream(stream))

    async def _serve_stream(self, stream: BufferedStream) -> None:
        if self._inbound >= MAX_INBOUND_STREAMS:
            await stream.reset()
            return
        self._inbound += 1
        self.used_at = trio.current_time()
        try:
            await self._serve(self, stream)
            await stream.close()
        except Exception as error:
            log.debug("stream of %s: %s", show_peer(self.peer), repr(error))
        finally:
            self._inbound -= 1
            with trio.CancelScope(shield=True):
                await stream.reset()

    async def _identify(self, identified: Callable[[Connection], None]) -> None:
        try:
            with trio.fail_after(_IDENTIFY_SECONDS):
                stream = await self.open_stream()
                try:
                    await stream.write(propose(IDENTIFY))
                    await read_agreement(stream, IDENTIFY)
                    about = await read_identify(stream, self.peer)
                finally:
                    with trio.CancelScope(shield=True):
                        await stream.reset()
        except Exception as error:
            log.debug("identify of %s failed: %s", show_peer(self.peer), error)
            return
        self.learn(about)
        identified(self)
