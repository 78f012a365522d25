"""Keeps the routing table full: a sweep at the start, then a round every ten minutes."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from p2p.kad.ids import place_of, target_sharing
from p2p.kad.peers import Peers
from p2p.kad.table import Contact
from p2p.kad.walks import Walks
from p2p.port import PeerAddress

INTERVAL = 600.0
"""Seconds between rounds, as in Go."""

SETTLE = 10.0
"""Seconds after a newcomer at which the neighbourhood is looked at again."""

DRY_WALKS = 3
"""Walks in a row that find nobody new, which end the sweep at the start."""

MAX_SWEEP = 40
"""Walks of one sweep: a large network fills the table much earlier."""

MAX_BITS = 8
"""Buckets refreshed one by one; the few peers beyond are found near this node itself."""


class Refresher:
    """Decides when to walk where for the table's sake."""

    def __init__(self, peers: Peers, walks: Walks, random: Random, now: float) -> None:
        self._peers = peers
        self._walks = walks
        self._random = random
        self._walking = False
        self._next_round = now
        self._next_look = float("inf")
        self._alone = True
        peers.on_joined(self._on_joined)

    def tick(self, now: float) -> None:
        """Starts a round when its time has come; call about every second."""
        if not len(self._peers.table):
            self._alone = True
        elif now >= self._next_round:
            self._next_round = now + INTERVAL * self._random.uniform(0.9, 1.1)
            self._begin(self._round(), now)
        elif now >= self._next_look:
            self._begin(iter([self._peers.local]), now)

    def _on_joined(self, contact: Contact, now: float) -> None:
        if self._alone:
            self._alone = False
            self._next_round = now + INTERVAL * self._random.uniform(0.9, 1.1)
            self._begin(self._sweep(), now)
        else:
            self._next_look = min(self._next_look, now + SETTLE)

    def _begin(self, targets: Iterator[bytes], now: float) -> None:
        self._next_look = float("inf")
        if not self._walking:
            self._walking = True
            self._walk(targets, now)

    def _walk(self, targets: Iterator[bytes], now: float) -> None:
        target = next(targets, None)
        if target is None:
            self._walking = False
            return

        def done(closest: list[PeerAddress], at: float) -> None:
            self._walk(targets, at)

        self._walks.towards(target, done, now)

    def _sweep(self) -> Iterator[bytes]:
        """This node's own place, then anywhere until the table has stopped growing."""
        yield self._peers.local
        dry = 0
        for _ in range(MAX_SWEEP):
            size = len(self._peers.table)
            yield self._random.randbytes(32)
            dry = dry + 1 if len(self._peers.table) == size else 0
            if dry == DRY_WALKS:
                break

    def _round(self) -> Iterator[bytes]:
        """This node's own place, then one place in each bucket."""
        yield self._peers.local
        here = place_of(self._peers.local)
        for bits in range(min(self._peers.table.depth, MAX_BITS)):
            yield target_sharing(here, bits, self._random)
