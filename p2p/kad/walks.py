"""The lookups under way: sends what they want asked and feeds them the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from p2p.kad.ids import place_of
from p2p.kad.lookup import Lookup
from p2p.kad.messages import find_node, get_providers, peers_in
from p2p.kad.outbox import Outbox
from p2p.kad.pb.dht_pb2 import Message
from p2p.kad.peers import Peers
from p2p.port import Key, PeerAddress, PeerId

Named = Callable[[Sequence[PeerAddress], PeerId, float], Sequence[PeerAddress]]
"""Takes providers, the peer that named them and the time; returns those it believes, which then
come no more in this walk."""

Done = Callable[[list[PeerAddress], float], None]
"""Takes the nearest peers that answered, nearest first, and the time."""


@dataclass(slots=True, eq=False)
class _Walk:
    number: int
    lookup: Lookup
    message: bytes
    done: Done
    named: Named | None = None
    seen: set[PeerId] = field(default_factory=set)
    answers: int = 0


class Walks:
    """Runs lookups over `Peers`."""

    def __init__(self, peers: Peers, outbox: Outbox) -> None:
        self.started = 0
        self.unanswered = 0
        self._peers = peers
        self._outbox = outbox
        self._walks: dict[int, _Walk] = {}

    def towards(self, target: bytes, done: Done, now: float) -> None:
        """Walks to the peers nearest to a peer id, key or any other bytes."""
        number = self._outbox.number()
        self._start(_Walk(number, self._lookup(target), find_node(target), done), now)

    def providers(self, number: int, key: Key, named: Named, done: Done, now: float) -> None:
        """Walks to the peers nearest to `key`, asking each for its providers.

        Args:
            number: For `stop`, from the outbox.
            key: What is looked for.
            named: Takes providers.
            done: Takes the end, which may come at once where nobody is there to be asked.
            now: The time.
        """
        self._start(_Walk(number, self._lookup(key), get_providers(key), done, named), now)

    def stop(self, number: int) -> None:
        """Ends a walk without a word; its requests run out by themselves."""
        self._walks.pop(number, None)

    def tick(self, now: float) -> None:
        """Lets walks go on without the silent."""
        for walk in list(self._walks.values()):
            if walk.lookup.deadline <= now:
                for peer in walk.lookup.expire(now):
                    self._peers.slow(peer)
                self._advance(walk, now)

    @property
    def deadline(self) -> float:
        """When to call `tick`."""
        return min((walk.lookup.deadline for walk in self._walks.values()), default=float("inf"))

    def _lookup(self, target: bytes) -> Lookup:
        place = place_of(target)
        return Lookup(place, (contact.address for contact in self._peers.table.closest(place)))

    def _start(self, walk: _Walk, now: float) -> None:
        self.started += 1
        self._walks[walk.number] = walk
        self._advance(walk, now)

    def _advance(self, walk: _Walk, now: float) -> None:
        for address in walk.lookup.next(now):
            self._peers.ask(address, walk.message, self._taker(walk, address.peer), now)
        if walk.lookup.finished:
            del self._walks[walk.number]
            self.unanswered += not walk.answers
            walk.done(walk.lookup.closest(), now)

    def _taker(self, walk: _Walk, peer: PeerId) -> Callable[[Message | None, float], None]:
        def take(reply: Message | None, now: float) -> None:
            if walk.number not in self._walks:
                return
            if reply is None:
                walk.lookup.failed(peer)
            else:
                walk.answers += 1
                walk.lookup.answered(peer)
                heard = peers_in(reply.closer_peers, skip=walk.lookup)
                walk.lookup.add(self._peers.worth_asking(heard))
                self._name(walk, reply, peer, now)
            self._advance(walk, now)

        return take

    def _name(self, walk: _Walk, reply: Message, peer: PeerId, now: float) -> None:
        if walk.named is None:
            return
        new = list(peers_in(reply.provider_peers, skip=walk.seen))
        if new:
            walk.seen.update(provider.peer for provider in walk.named(new, peer, now))
