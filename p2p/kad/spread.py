"""Which peers are nearest to each of many keys, found with few lookups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from p2p.kad.ids import nearest, place_of, shared_bits
from p2p.kad.table import K
from p2p.port import Key, PeerAddress

PARALLEL = 4
"""Lookups of one spread under way at once."""


class Spread:
    """Assigns keys to peers.

    A lookup that ends with K peers has seen every peer of the subtree one bit below the farthest
    of them, so it serves all keys in that subtree; and with fewer than K it has seen the network.

    Args:
        keys: What to assign.
        known: Peers known so far.
        whole: Whether those are the whole network: then there is nothing to look up.
        width: Peers for each key.
    """

    def __init__(
        self, keys: Iterable[Key], known: Iterable[PeerAddress], *, whole: bool, width: int = K
    ) -> None:
        self._keys = {place_of(key): key for key in keys}
        self._width = width
        self._peers = {place_of(address.peer): address for address in known}
        self._waiting = [] if whole else sorted(self._keys)
        self._under_way: set[int] = set()
        self._bits = 2

    def next_target(self) -> Key | None:
        """A key to look up now, far enough from those under way not to repeat their work."""
        if len(self._under_way) < PARALLEL:
            for place in self._waiting:
                if all(shared_bits(place, other) < self._bits for other in self._under_way):
                    self._under_way.add(place)
                    return self._keys[place]
        return None

    def learned(self, target: Key, closest: Sequence[PeerAddress]) -> None:
        """The lookup of a key ended at these peers, nearest first."""
        place = place_of(target)
        self._under_way.discard(place)
        places = {place_of(address.peer): address for address in closest}
        self._peers.update(places)
        if len(closest) < K:
            self._waiting.clear()
            return
        self._bits = shared_bits(place, list(places)[-1]) + 1
        self._waiting = [
            other
            for other in self._waiting
            if other != place and shared_bits(other, place) < self._bits
        ]

    @property
    def finished(self) -> bool:
        """Whether nothing more is to be looked up."""
        return not (self._waiting or self._under_way)

    def assignments(self) -> list[tuple[PeerAddress, tuple[Key, ...]]]:
        """What each peer gets."""
        places = sorted(self._peers)
        if len(places) <= self._width:
            everything = tuple(self._keys.values())
            return [(address, everything) for address in self._peers.values()]
        keys_at: dict[int, list[Key]] = {}
        for place, key in self._keys.items():
            for holder in nearest(places, place, self._width):
                keys_at.setdefault(holder, []).append(key)
        return [(self._peers[place], tuple(keys)) for place, keys in keys_at.items()]
