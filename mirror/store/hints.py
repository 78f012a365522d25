"""What our own containerd was seen to ask for: the registry of content it has yet to commit."""

from __future__ import annotations

from mirror.oci.digest import Digest
from mirror.oci.reference import hostname

LIFETIME = 15 * 60.0
"""Seconds that a hint holds; a download that takes longer is only shared a little later."""

CAPACITY = 4096
"""Hints kept at most, some 1 MiB; the oldest go first."""


class Hints:
    """Digest → registry, bounded in number and time."""

    def __init__(self) -> None:
        self._hints: dict[Digest, tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._hints)

    def put(self, digest: Digest, registry: str, now: float) -> None:
        """Notes that `digest` was asked for from `registry`, which may carry a port."""
        self._hints.pop(digest, None)
        if len(self._hints) >= CAPACITY:
            del self._hints[next(iter(self._hints))]
        self._hints[digest] = (hostname(registry), now + LIFETIME)

    def get(self, digest: Digest, now: float) -> str | None:
        """The host of the registry that `digest` was last asked for from, if that is recent."""
        registry, until = self._hints.get(digest, ("", 0.0))
        return registry if registry and now < until else None

    def discard(self, digest: Digest) -> None:
        """Forgets a hint that was used."""
        self._hints.pop(digest, None)
