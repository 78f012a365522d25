"""The routing table: peers that answered, in buckets by distance (Kademlia §2.2)."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from p2p.kad.ids import nearest, place_of, shared_bits
from p2p.kad.messages import peer_message
from p2p.kad.pb.dht_pb2 import Message
from p2p.port import PeerAddress, PeerId

K = 20
"""Peers that hold each record, and contacts that a bucket takes at least."""

FAR = 64
"""Contacts that the farthest bucket takes; half as many the next, and so on down to K. So the
table holds all of a cluster of about a hundred nodes, and some 250 contacts of the largest; each
is a kept connection of some 50 KiB (measured)."""


@dataclass(slots=True, eq=False)
class Contact:
    """A peer that answered at least once.

    Attributes:
        address: Where it says it listens.
        place: Where it lies in the key space.
        agent: Its agent version, empty while unknown.
        ours: Whether it takes withdrawals.
        failures: Requests in a row that it did not answer.
        slow: Whether it keeps a request waiting right now.
        retry_at: When to probe it again, while it has failures.
        lost_connection: Whether its last connection ended since its last answer.
        latency: Smoothed seconds of a request to it, or None before the first.
        wire: Itself as it stands in answers.
    """

    address: PeerAddress
    place: int
    agent: str = ""
    ours: bool = False
    failures: int = 0
    slow: bool = False
    retry_at: float = 0.0
    lost_connection: bool = False
    latency: float | None = None
    wire: Message.Peer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Makes the form for answers."""
        self.wire = peer_message(self.address)

    @property
    def usable(self) -> bool:
        """Whether to send lookups to it."""
        return not (self.failures or self.slow)

    def move(self, address: PeerAddress) -> None:
        """Takes on what the peer says of its addresses now; saying nothing changes nothing."""
        if address.addresses and address.addresses != self.address.addresses:
            self.address = address
            self.wire = peer_message(address)


class Table:
    """Contacts by peer id and by place.

    Args:
        local: This node, which the buckets are seen from.
        near: What every bucket takes at least.
        far: What the farthest bucket takes.
    """

    def __init__(self, local: PeerId, near: int = K, far: int = FAR) -> None:
        self._place = place_of(local)
        self._near = near
        self._far = far
        self._contacts: dict[PeerId, Contact] = {}
        self._by_place: dict[int, Contact] = {}
        self._places: list[int] = []
        self._buckets: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._contacts)

    def __iter__(self) -> Iterator[Contact]:
        """A snapshot, so that contacts may come and go meanwhile (in other threads too)."""
        return iter(list(self._contacts.values()))

    def __contains__(self, peer: object) -> bool:
        return peer in self._contacts

    @property
    def complete(self) -> bool:
        """Whether it can be holding the whole network: no bucket has had to refuse anyone."""
        return all(size < self._capacity(bucket) for bucket, size in self._buckets.items())

    @property
    def depth(self) -> int:
        """How many leading bits the nearest contact shares with this node, plus one."""
        return max(self._buckets, default=-1) + 1

    def get(self, peer: PeerId) -> Contact | None:
        """The contact of that id, or None."""
        return self._contacts.get(peer)

    def add(self, address: PeerAddress) -> Contact | None:
        """Takes in a peer that answered, or returns None when its bucket is full of live ones.

        A contact that fails makes room; of those that answer the old ones stay (Kademlia §2.2:
        they are the likeliest to go on answering).
        """
        place = place_of(address.peer)
        bucket = shared_bits(place, self._place)
        if self._buckets[bucket] >= self._capacity(bucket):
            failing = max(self._in_bucket(bucket), key=lambda contact: contact.failures)
            if not failing.failures:
                return None
            self.remove(failing.address.peer)
        contact = Contact(address, place)
        self._contacts[address.peer] = contact
        self._by_place[place] = contact
        insort(self._places, place)
        self._buckets[bucket] += 1
        return contact

    def remove(self, peer: PeerId) -> None:
        """Forgets a contact, if it is one."""
        contact = self._contacts.pop(peer, None)
        if contact is None:
            return
        del self._by_place[contact.place]
        del self._places[bisect_left(self._places, contact.place)]
        bucket = shared_bits(contact.place, self._place)
        self._buckets[bucket] -= 1
        if not self._buckets[bucket]:
            del self._buckets[bucket]

    def closest(self, place: int, count: int = K) -> list[Contact]:
        """Usable contacts nearest to `place`, nearest first.

        Looks among the nearest twice `count`: fewer come back where most of those are down. When
        all are slow that is this node's or the machine's own doing, and they are as good as any.
        """
        contacts = self._nearest(place, count)
        if all(contact.usable for contact in contacts):
            return contacts
        wider = self._nearest(place, 2 * count)
        usable = [contact for contact in wider if contact.usable]
        return (usable or [contact for contact in wider if not contact.failures])[:count]

    def _nearest(self, place: int, count: int) -> list[Contact]:
        return [self._by_place[other] for other in nearest(self._places, place, count)]

    def _capacity(self, bucket: int) -> int:
        return max(self._near, self._far >> bucket)

    def _in_bucket(self, bucket: int) -> list[Contact]:
        return [
            contact
            for contact in self._contacts.values()
            if shared_bits(contact.place, self._place) == bucket
        ]
