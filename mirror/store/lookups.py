"""When to ask containerd about content that was just committed."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Final

from mirror.oci.digest import Digest

DELAYS: Final = (0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds between the looks at one digest.

A commit renames the file before containerd's database knows it, and the labels follow in an
update of their own: both within milliseconds, unless the disk is slow. Content that was imported,
or that belongs to another namespace, never gets there, so this must end.
"""


class Lookups:
    """Digests to ask about, each again and again until it is known or all delays are used."""

    def __init__(self) -> None:
        self._tries: dict[Digest, int] = {}
        self._heap: list[tuple[float, Digest]] = []

    def __len__(self) -> int:
        return len(self._tries)

    def __contains__(self, digest: Digest) -> bool:
        return digest in self._tries

    def __iter__(self) -> Iterator[Digest]:
        return iter(self._tries)

    def add(self, digest: Digest, now: float) -> None:
        """Asks about `digest` at once, and starts its delays anew."""
        heapq.heappush(self._heap, (now, digest))
        self._tries[digest] = 0

    def discard(self, digest: Digest) -> None:
        """Stops asking."""
        self._tries.pop(digest, None)

    def due(self, now: float, limit: int) -> list[Digest]:
        """Takes up to `limit` digests whose time has come; each must get `again` or `discard`."""
        found: list[Digest] = []
        while self._heap and self._heap[0][0] <= now and len(found) < limit:
            digest = heapq.heappop(self._heap)[1]
            if digest in self._tries and digest not in found:
                found.append(digest)
        return found

    def again(self, digest: Digest, now: float) -> bool:
        """Asks once more after the next delay; False when there is none left."""
        tries = self._tries.get(digest)
        if tries is None:
            return True
        if tries >= len(DELAYS):
            del self._tries[digest]
            return False
        self._tries[digest] = tries + 1
        heapq.heappush(self._heap, (now + DELAYS[tries], digest))
        return True

    def next_at(self) -> float | None:
        """When `due` has something next, or None."""
        return self._heap[0][0] if self._heap else None
