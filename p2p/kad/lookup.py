"""One walk through the network towards a place in the key space (Kademlia §2.3)."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from p2p.kad.ids import place_of
from p2p.kad.table import K
from p2p.port import PeerAddress, PeerId

ALPHA = 10
"""Requests under way at once, as in Go's."""

HEDGE = 0.05
"""Seconds after which a silent peer no longer keeps the walk from asking others meanwhile."""

PATIENCE = 0.25
"""Seconds that a silent peer may keep the walk from ending; its request goes on without it."""


class _State(Enum):
    WAITING = auto()
    ASKED = auto()
    HEDGED = auto()
    OVERDUE = auto()
    ANSWERED = auto()
    FAILED = auto()


@dataclass(slots=True, eq=False)
class _Candidate:
    address: PeerAddress
    state: _State = _State.WAITING
    asked_at: float = 0.0


class Lookup:
    """Whom to ask next, and when it is over: when the K nearest that answer have been asked."""

    def __init__(self, place: int, seeds: Iterable[PeerAddress], width: int = K) -> None:
        self._place = place
        self._width = width
        self._candidates: dict[PeerId, _Candidate] = {}
        self._by_distance: list[tuple[int, PeerId]] = []
        self._under_way: dict[PeerId, _Candidate] = {}
        self.add(seeds)

    def __contains__(self, peer: object) -> bool:
        """Whether this walk knows that peer already."""
        return peer in self._candidates

    def add(self, peers: Iterable[PeerAddress]) -> None:
        """Takes in peers that somebody named."""
        for address in peers:
            if address.peer not in self._candidates:
                self._candidates[address.peer] = _Candidate(address)
                distance = place_of(address.peer) ^ self._place
                insort(self._by_distance, (distance, address.peer))

    def next(self, now: float) -> list[PeerAddress]:
        """Whom to ask now; they count as asked from here on."""
        free = ALPHA - sum(c.state is _State.ASKED for c in self._under_way.values())
        chosen: list[PeerAddress] = []
        places = self._width
        for _, peer in self._by_distance:
            if not (free and places):
                break
            candidate = self._candidates[peer]
            match candidate.state:
                case _State.WAITING:
                    candidate.state = _State.ASKED
                    candidate.asked_at = now
                    self._under_way[peer] = candidate
                    chosen.append(candidate.address)
                    free -= 1
                    places -= 1
                case _State.ASKED | _State.ANSWERED:
                    places -= 1
                case _:
                    pass
        return chosen

    def answered(self, peer: PeerId) -> None:
        """A peer answered, however late."""
        self._candidates[peer].state = _State.ANSWERED
        self._under_way.pop(peer, None)

    def failed(self, peer: PeerId) -> None:
        """A peer will not answer."""
        self._candidates[peer].state = _State.FAILED
        self._under_way.pop(peer, None)

    def expire(self, now: float) -> list[PeerId]:
        """Stops waiting for silent peers; returns those whose patience has run out just now."""
        overdue = []
        for peer, candidate in list(self._under_way.items()):
            if now >= candidate.asked_at + PATIENCE:
                candidate.state = _State.OVERDUE
                del self._under_way[peer]
                overdue.append(peer)
            elif now >= candidate.asked_at + HEDGE:
                candidate.state = _State.HEDGED
        return overdue

    @property
    def deadline(self) -> float:
        """When `expire` has something to do, unless answers come first."""
        return min(
            (
                candidate.asked_at + (HEDGE if candidate.state is _State.ASKED else PATIENCE)
                for candidate in self._under_way.values()
            ),
            default=float("inf"),
        )

    @property
    def finished(self) -> bool:
        """Whether nobody is worth waiting for; to be asked after `next` has nobody left."""
        return not self._under_way or self._nearest_answered()

    def closest(self) -> list[PeerAddress]:
        """The nearest peers that answered, nearest first."""
        answered = (
            candidate.address
            for _, peer in self._by_distance
            if (candidate := self._candidates[peer]).state is _State.ANSWERED
        )
        return [address for address, _ in zip(answered, range(self._width), strict=False)]

    def _nearest_answered(self) -> bool:
        """Whether stragglers farther out than the K nearest are all that is under way."""
        places = self._width
        for _, peer in self._by_distance:
            match self._candidates[peer].state:
                case _State.ANSWERED:
                    places -= 1
                    if not places:
                        return True
                case _State.WAITING | _State.ASKED | _State.HEDGED:
                    return False
                case _:
                    pass
        return False
