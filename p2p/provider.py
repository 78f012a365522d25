"""Who has a key, in the words of callers that know nothing of libp2p."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from p2p.kad.addresses import ips
from p2p.port import PeerAddress
from p2p.wire.address import show_peer


@dataclass(frozen=True, slots=True)
class Provider:
    """A peer that says it has a key.

    Attributes:
        peer: Its id in base58.
        addresses: Its plain IPs, IPv6 first, each once. The port is the caller's own: Spegel's
            records tell nothing of the registry's.
    """

    peer: str
    addresses: tuple[str, ...]


@lru_cache(maxsize=4096)
def provider_of(address: PeerAddress) -> Provider:
    """The provider behind a record; kept, as the same peers provide thousands of keys."""
    return Provider(show_peer(address.peer), ips(address.addresses))
