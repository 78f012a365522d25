"""What a node tells about itself and its peers: for dashboards, metrics and `spegla peers`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from p2p.kad.table import Contact
from p2p.provider import provider_of

PeerState = Literal["up", "slow", "down"]


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A peer in the routing table.

    Attributes:
        peer: Its id in base58.
        addresses: Its plain IPs, IPv6 first.
        state: `slow` while it keeps a request waiting, `down` while it does not answer.
        latency: Smoothed seconds of a request to it; None before the first.
        agent: What it says it runs.
        is_ours: Whether it runs this program, and so takes withdrawals.
    """

    peer: str
    addresses: tuple[str, ...]
    state: PeerState
    latency: float | None
    agent: str
    is_ours: bool


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the start, and what is held now.

    Attributes:
        peers: Contacts in the routing table.
        peers_up: Those that answer.
        connections: Open connections, both ways.
        records: Provider records held for others.
        keys: Keys those records are filed under.
        own_keys: Keys that this node provides.
        lookups: Walks begun, those for the routing table included.
        lookups_unanswered: Walks in which no peer answered.
        requests: Requests sent to peers.
        request_errors: Those, and announcements, that failed.
        served: Requests of peers, announcements included.
        refused: Messages of peers that were nonsense or beyond a limit.
    """

    peers: int
    peers_up: int
    connections: int
    records: int
    keys: int
    own_keys: int
    lookups: int
    lookups_unanswered: int
    requests: int
    request_errors: int
    served: int
    refused: int


def status_of(contact: Contact) -> PeerStatus:
    """A contact as it is shown."""
    provider = provider_of(contact.address)
    state: PeerState = "down" if contact.failures else "slow" if contact.slow else "up"
    return PeerStatus(
        provider.peer, provider.addresses, state, contact.latency, contact.agent, contact.ours
    )
