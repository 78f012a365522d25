"""The seam between the DHT and libp2p: what one asks of the other, and the words both use.

`p2p.wire` implements `Transport` on real sockets; tests implement it on a dict with a virtual
clock, and one conformance function runs against both. Everything here lives in trio.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NewType, Protocol

PeerId = NewType("PeerId", bytes)
"""A libp2p peer id in binary form (multihash of the public key)."""

Key = NewType("Key", bytes)
"""What a DHT record is filed under: the 34-byte sha2-256 multihash of the key string."""

KAD_PROTOCOL = "/spegel/kad/1.0.0"
"""Kademlia as go-libp2p-kad-dht speaks it with prefix `/spegel` (facts: Spegel's wire)."""

LEAVE_PROTOCOL = "/spegla/withdraw/1"
"""Takes provider records back; only our nodes list it in identify, Go nodes age records out."""


class PeerUnreachable(Exception):
    """The peer could not be dialled, did not answer in time, or broke the protocol."""


class BadMessage(ValueError):
    """A peer's message is nonsense.

    A handler raises it to have the one stream reset on which the message came: whoever waits for
    an answer there learns at once that there is none.
    """


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """A peer and where it may be dialled.

    Attributes:
        peer: Its id.
        addresses: Binary multiaddrs, without `/p2p/<id>`.
    """

    peer: PeerId
    addresses: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A peer was identified on a new connection.

    Attributes:
        address: The peer, with the addresses it says it listens on.
        protocols: Protocol ids from identify.
        agent: Its agent version string, cut to 100 characters.
    """

    address: PeerAddress
    protocols: frozenset[str]
    agent: str


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """The last connection to a peer is gone."""

    peer: PeerId


PeerEvent = PeerConnected | PeerDisconnected

Handler = Callable[[PeerAddress, bytes], Awaitable[bytes | None]]
"""Answers one message of a peer with one message, or with None where none is due."""


class Transport(Protocol):
    """libp2p, as far as the DHT needs it.

    Messages are protobuf bytes without their length prefix; the transport frames them. A caller
    may be cancelled at any time: the I/O goes on in the transport's own tasks, because a write
    cut in the middle kills the whole connection (measured with py-libp2p 0.8.1).
    """

    @property
    def local(self) -> PeerAddress:
        """This node, with the real interface addresses it announces."""
        ...

    async def request(
        self, peer: PeerAddress, protocol: str, message: bytes, timeout: float
    ) -> bytes:
        """Sends one message on the kept stream of that peer and returns its answer.

        Requests to one peer are pipelined in order. A stream that broke since its last use is
        replaced by a fresh one once.

        Args:
            peer: Whom to ask; dialled on any of its addresses when not connected.
            protocol: Protocol id of the stream.
            message: One protobuf message.
            timeout: Seconds for dial, write and answer together.

        Raises:
            PeerUnreachable: No answer; the message tells the cause.
        """
        ...

    async def send(
        self, peer: PeerAddress, protocol: str, messages: Sequence[bytes], timeout: float
    ) -> None:
        """Writes messages that have no answer, in as few writes as possible.

        Raises:
            PeerUnreachable: They could not all be written.
        """
        ...

    def handle(self, protocol: str, handler: Handler) -> None:
        """Lets `handler` answer what peers send on `protocol`. Call before listening starts."""
        ...

    def subscribe(self, listener: Callable[[PeerEvent], None]) -> None:
        """Calls `listener` on every peer that connects or disconnects."""
        ...

    async def disconnect(self, peer: PeerId) -> None:
        """Drops every connection to a peer. Never raises, bounded to one second."""
        ...


class Host(Transport, Protocol):
    """A transport with the sockets under it; `p2p.wire.host.open_host` yields one, not listening.

    It listens only when told to, after every handler is set, because Go's nodes look once, at
    identify, whether a peer speaks `KAD_PROTOCOL`.
    """

    @property
    def connections(self) -> int:
        """Open connections, both ways."""
        ...

    async def listen(self) -> None:
        """Opens the listening sockets and starts to take connections.

        Raises:
            OSError: An address is not there or taken; the message names it.
        """
        ...

    async def identify(self, address: bytes, timeout: float) -> PeerAddress:
        """Learns who listens at a binary multiaddr that came without a peer id.

        Raises:
            PeerUnreachable: Nobody who speaks libp2p (with this network's key) answers there.
        """
        ...


class Bootstrap(Protocol):
    """Where first peers come from: settings, and who was known before the last stop."""

    @property
    def first(self) -> bool:
        """Whether there is no source to ask, or each one answered and named only this node."""
        ...

    async def peers(self) -> list[PeerAddress]:
        """Asks every source at once; never raises, bounded to a few seconds, logs what failed."""
        ...

    async def remember(self, peers: Sequence[PeerAddress]) -> None:
        """Keeps peers that answered, for the next start."""
        ...

    async def join(self, sources: Sequence[str]) -> list[PeerAddress]:
        """Asks further sources now, in the forms of `Settings.bootstrap`.

        Raises:
            ValueError: A source has none of these forms.
        """
        ...
