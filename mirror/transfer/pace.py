"""Telling a trickling peer from a slow link. Pure: time is an argument."""

from __future__ import annotations

_LEAST_BYTES = 8 * 1024


class Pace:
    """Watches that a body makes progress while we wait for it.

    Only the time spent waiting counts: a peer is not slow because our own client is.
    """

    __slots__ = ("_bytes", "_waited", "_window")

    def __init__(self, window: float) -> None:
        """Allows no less than 8 KiB in each half of `window` seconds of waiting.

        So a trickle is noticed within `window`, wherever in a half it begins.
        """
        self._window = window / 2
        self._waited = 0.0
        self._bytes = 0

    def landed(self, count: int, waited: float) -> bool:
        """Whether the peer is still good after `count` bytes came in `waited` seconds."""
        self._waited += waited
        self._bytes += count
        if self._waited < self._window:
            return True
        good = self._bytes >= _LEAST_BYTES
        self._waited = 0.0
        self._bytes = 0
        return good
