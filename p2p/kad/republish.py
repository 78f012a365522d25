"""The keys this node provides, and when to say so again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from p2p.kad.ids import BITS, place_of
from p2p.port import Key

INTERVAL = 14 * 60.0
"""Seconds for one round through all keys: Spegel's is 15 min, its records live 19 min."""

SLICES = 64
"""Parts of the key space that take turns: neighbouring keys go to the same peers, so one lookup
serves a slice, and no round comes as one burst."""


class OwnKeys:
    """A set of keys whose slices come due one after the other.

    Args:
        phase: Where in the round to begin, 0 to 1, drawn at random so that nodes differ.
        now: The time.
    """

    def __init__(self, phase: float, now: float) -> None:
        self._slices: list[set[Key]] = [set() for _ in range(SLICES)]
        self._began = now - phase * INTERVAL
        self._turn = self._turn_at(now)

    def __len__(self) -> int:
        return sum(map(len, self._slices))

    def __contains__(self, key: Key) -> bool:
        return key in self._slices[_slice_of(key)]

    def __iter__(self) -> Iterator[Key]:
        return chain.from_iterable(self._slices)

    def add(self, keys: Iterable[Key]) -> list[Key]:
        """Takes keys in; returns those that are new."""
        new = [key for key in dict.fromkeys(keys) if key not in self]
        for key in new:
            self._slices[_slice_of(key)].add(key)
        return new

    def remove(self, keys: Iterable[Key]) -> list[Key]:
        """Takes keys out; returns those that were in."""
        old = [key for key in dict.fromkeys(keys) if key in self]
        for key in old:
            self._slices[_slice_of(key)].remove(key)
        return old

    def due(self, now: float) -> list[Key]:
        """Keys whose turn has come since the last call."""
        turn = self._turn_at(now)
        turns = range(max(self._turn, turn - SLICES) + 1, turn + 1)
        self._turn = turn
        return [key for number in turns for key in self._slices[number % SLICES]]

    def _turn_at(self, now: float) -> int:
        return int((now - self._began) / INTERVAL * SLICES)


def _slice_of(key: Key) -> int:
    return place_of(key) * SLICES >> BITS
