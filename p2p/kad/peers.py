"""Who is there: marks peers alive or lost by how they answer, and probes those that are lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from p2p.kad.absent import Absent
from p2p.kad.addresses import usable
from p2p.kad.messages import decode, find_node
from p2p.kad.outbox import Outbox
from p2p.kad.pb.dht_pb2 import Message
from p2p.kad.table import Contact, Table
from p2p.port import (
    KAD_PROTOCOL,
    LEAVE_PROTOCOL,
    BadMessage,
    PeerAddress,
    PeerConnected,
    PeerId,
)

RPC_TIMEOUT = 2.0
"""Seconds for a request, dial included. Lookups stop waiting long before."""

MAX_RETRY = 60.0
"""Seconds between probes of a peer that stays silent; the first come after 1, 2, 4 … seconds."""

MAX_FAILURES = 10
"""Silent probes in a row (some four minutes) after which a contact is forgotten."""

Answered = Callable[[Message | None, float], None]
"""Takes a peer's answer, or None where there is none, and the time."""


class Peers:
    """The routing table, kept true."""

    def __init__(self, local: PeerId, outbox: Outbox) -> None:
        self.local = local
        self.table = Table(local)
        self.absent = Absent()
        self.requests = 0
        self.errors = 0
        self._outbox = outbox
        self._connected: dict[PeerId, PeerConnected] = {}
        self._leaving: set[PeerId] = set()
        self._probing: set[PeerId] = set()
        self._slow_hearsay: set[PeerId] = set()
        self._joined: list[Callable[[Contact, float], None]] = []

    def on_joined(self, listener: Callable[[Contact, float], None]) -> None:
        """Calls `listener` with each contact that is new, or is back and may have restarted."""
        self._joined.append(listener)

    def connected(self, event: PeerConnected, now: float) -> None:
        """A connection was identified: whoever speaks Kademlia is probed, and so let in."""
        peer = event.address.peer
        if peer == self.local:
            return
        address = PeerAddress(peer, usable(event.address.addresses))
        self._connected[peer] = event
        self._leaving.discard(peer)
        self.absent.back(peer)
        contact = self.table.get(peer)
        if contact is not None:
            contact.move(address)
            self._introduce(contact)
            if not contact.usable:
                self.probe(contact.address, now)
        elif KAD_PROTOCOL in event.protocols:
            self.probe(address, now)

    def disconnected(self, peer: PeerId, now: float) -> None:
        """The last connection is gone: lookups pass the peer over until a probe is answered."""
        self._connected.pop(peer, None)
        self._leaving.discard(peer)
        contact = self.table.get(peer)
        if contact is not None:
            contact.lost_connection = True
            if contact.usable:
                contact.slow = True
                self.probe(contact.address, now)

    def ask(self, address: PeerAddress, message: bytes, then: Answered, now: float) -> None:
        """Sends a Kademlia request; how it ends marks the peer, then goes to `then`."""
        self.requests += 1

        def settled(answer: bytes | None, at: float) -> None:
            reply = _read(answer)
            self._slow_hearsay.discard(address.peer)
            if reply is None:
                self.lost(address.peer, at)
            else:
                self._alive(address, at - now, at)
            then(reply, at)

        self._outbox.ask(address, KAD_PROTOCOL, message, RPC_TIMEOUT, settled)

    def probe(self, address: PeerAddress, now: float) -> None:
        """Asks a peer for sign of life; one that gives it enters the table."""
        peer = address.peer
        if peer in self._probing or peer == self.local:
            return
        self._probing.add(peer)
        self.ask(address, find_node(self.local), lambda *_: self._probing.discard(peer), now)

    def heard_from(self, peer: PeerId, now: float) -> None:
        """A peer sent something of its own accord: if it counts as lost, it is no more."""
        if peer not in self._leaving:
            self.absent.back(peer)
        contact = self.table.get(peer)
        if contact is not None and contact.failures:
            self.probe(contact.address, now)

    def lost(self, peer: PeerId, now: float) -> None:
        """A peer did not answer; requests that fail together count once."""
        self.errors += 1
        contact = self.table.get(peer)
        if contact is None:
            self.absent.silent(peer, now)
            return
        contact.slow = False
        if contact.failures and now < contact.retry_at:
            return
        contact.failures += 1
        contact.retry_at = now + min(MAX_RETRY, 2.0 ** (contact.failures - 1))
        if contact.failures > MAX_FAILURES:
            self.table.remove(peer)
            self.absent.gone(peer, now)

    def slow(self, peer: PeerId) -> None:
        """A peer keeps a lookup waiting: others pass it over until its answer comes."""
        contact = self.table.get(peer)
        if contact is not None:
            contact.slow = True
        else:
            self._slow_hearsay.add(peer)

    def left(self, peer: PeerId, now: float) -> None:
        """A peer said that it is leaving; what comes until its connection ends is belated."""
        self.table.remove(peer)
        if self._connected.pop(peer, None) is not None:
            self._leaving.add(peer)
        self.absent.gone(peer, now)

    def leaving(self, peer: PeerId) -> bool:
        """Whether a peer has said that it is leaving and its connection is still there."""
        return peer in self._leaving

    def dead(self, peer: PeerId) -> bool:
        """Whether a peer is known not to answer. Safe to call from another thread."""
        contact = self.table.get(peer)
        return contact.failures > 0 if contact is not None else peer in self.absent

    def named(self, provider: PeerAddress, now: float) -> None:
        """Others name a provider: one that counts as absent may be back, and is looked at again.

        It may have come back without connecting here, as it does in a network of hundreds.
        """
        if self.absent.take_retry(provider.peer, now):
            self.probe(provider, now)

    def worth_asking(self, heard: Iterable[PeerAddress]) -> Iterator[PeerAddress]:
        """Those of `heard` that a lookup should try, at the addresses known best."""
        for address in heard:
            contact = self.table.get(address.peer)
            if contact is not None:
                if contact.usable:
                    yield contact.address
            elif not (
                address.peer in self.absent
                or address.peer in self._slow_hearsay
                or address.peer == self.local
            ):
                yield address

    def obeys(self, peer: PeerId) -> bool:
        """Whether a peer is connected and lets records be taken back."""
        event = self._connected.get(peer)
        return event is not None and LEAVE_PROTOCOL in event.protocols

    def obedient(self) -> list[PeerAddress]:
        """Connected peers that let records be taken back."""
        return [
            event.address for event in self._connected.values() if LEAVE_PROTOCOL in event.protocols
        ]

    def tick(self, now: float) -> None:
        """Probes whose time has come; call about every second."""
        self.absent.sweep(now)
        for contact in self.table:
            if contact.failures and contact.retry_at <= now:
                self.probe(contact.address, now)

    def _alive(self, address: PeerAddress, latency: float, now: float) -> None:
        peer = address.peer
        if peer in self._leaving:
            return
        self.absent.back(peer)
        contact = self.table.get(peer)
        news = contact is None or contact.failures > 0 or contact.lost_connection
        if contact is None:
            # Without an address it could be named to nobody.
            contact = self.table.add(address) if address.addresses else None
            if contact is None:
                return
            self._introduce(contact)
        contact.failures = 0
        contact.slow = False
        smooth = latency if contact.latency is None else contact.latency
        contact.latency = smooth + 0.2 * (latency - smooth)
        if news:
            contact.lost_connection = False
            for listener in self._joined:
                listener(contact, now)

    def _introduce(self, contact: Contact) -> None:
        event = self._connected.get(contact.address.peer)
        if event is not None:
            contact.agent = event.agent
            contact.ours = LEAVE_PROTOCOL in event.protocols


def _read(answer: bytes | None) -> Message | None:
    if answer is None:
        return None
    try:
        return decode(answer)
    except BadMessage:
        return None
