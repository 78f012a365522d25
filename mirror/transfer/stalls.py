"""Content of which peers kept silent in mid-body. Pure: time is an argument."""

from __future__ import annotations

from collections import OrderedDict

_REMEMBERED = 10.0
_MAX_KEYS = 1000


class Stalls:
    """How often each was lately, so that an asker who comes back for the rest is not held up again.

    containerd does so when a body was closed: it sends a new request, with Range.
    """

    def __init__(self) -> None:
        self._keys: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def count(self, key: str, now: float) -> int:
        """Stalls of `key`, of which the last was less than 10 s ago."""
        count, until = self._keys.get(key, (0, 0.0))
        return count if now < until else 0

    def add(self, key: str, now: float) -> None:
        """A peer kept silent, or trickled, while it sent `key`."""
        self._keys[key] = self.count(key, now) + 1, now + _REMEMBERED
        self._keys.move_to_end(key)
        while len(self._keys) > _MAX_KEYS:
            self._keys.popitem(last=False)
