"""What the DHT wants done; the driver does it and reports back under the same ticket."""

from __future__ import annotations

from dataclasses import dataclass

from p2p.port import Key, PeerAddress


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a message and report its answer, or that there was none.

    Attributes:
        ticket: For `Dht.answered` and `Dht.failed`.
        peer: Whom to ask.
        protocol: Protocol id of the stream.
        message: Protobuf bytes.
        timeout: Seconds for dial, write and answer together.
    """

    ticket: int
    peer: PeerAddress
    protocol: str
    message: bytes
    timeout: float


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell a peer that this node provides keys: in batches, with `Dht.announcements` for each.

    The messages are made as late as that so that a key withdrawn meanwhile is left out.

    Attributes:
        ticket: For `Dht.answered` (with an empty message) when all are written, or `Dht.failed`.
        peer: Whom to tell.
        keys: What to announce, in any number.
    """

    ticket: int
    peer: PeerAddress
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A lookup found providers that it had not named before."""

    job: int
    providers: tuple[PeerAddress, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """A lookup, an announcement or a withdrawal has come to its end."""

    job: int


Command = Ask | Announce | Found | Finished
