"""Peers that are not there: for a moment, or for as long as anybody may still name them."""

from __future__ import annotations

from collections.abc import Container

from p2p.kad.records import TTL
from p2p.port import PeerId

SILENT = 30.0
"""Seconds for which hearsay of a peer that did not answer is not tried again."""

RETRY = 10.0
"""Seconds between two looks at an absent peer that others go on naming: it may be back."""

MAX_ABSENT = 10_000
"""Remembered at once; the oldest go first."""


class Absent(Container[PeerId]):
    """Neither asked in lookups nor returned as providers."""

    def __init__(self) -> None:
        self._until: dict[PeerId, float] = {}
        self._retry_at: dict[PeerId, float] = {}

    def __contains__(self, peer: object) -> bool:
        return peer in self._until

    def silent(self, peer: PeerId, now: float) -> None:
        """A peer known from hearsay did not answer."""
        self._put(peer, now, SILENT)

    def gone(self, peer: PeerId, now: float) -> None:
        """A peer left, or was given up: others may go on naming it until their records end."""
        self._put(peer, now, TTL)

    def take_retry(self, peer: PeerId, now: float) -> bool:
        """Whether an absent peer is to be looked at again; the next time is later then."""
        if now < self._retry_at.get(peer, float("inf")):
            return False
        self._retry_at[peer] = now + RETRY
        return True

    def back(self, peer: PeerId) -> None:
        """A peer showed itself."""
        self._until.pop(peer, None)
        self._retry_at.pop(peer, None)

    def sweep(self, now: float) -> None:
        """Drops whose time is over."""
        for peer in [peer for peer, until in self._until.items() if until <= now]:
            self.back(peer)

    def _put(self, peer: PeerId, now: float, seconds: float) -> None:
        self._until[peer] = max(now + seconds, self._until.get(peer, 0.0))
        self._retry_at[peer] = now + RETRY
        if len(self._until) > MAX_ABSENT:
            self.back(next(iter(self._until)))
