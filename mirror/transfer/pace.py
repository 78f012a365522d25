"""Telling a trickling peer from a slow link. Pure: time is an argument."""

from __future__ import annotations

_LEAST_RATE = 16 * 1024
"""Bytes per second that earn what is waited for them."""


class Pace:
    """How long we would still wait for a body: waiting uses that up, bytes earn it back.

    Only the time spent waiting counts: a peer is not slow because our own client is.

    Attributes:
        left: Seconds that may be waited for the next bytes; 0 for a peer that trickles.
    """

    __slots__ = ("_window", "left")

    def __init__(self, window: float) -> None:
        """Waits `window` seconds for the first bytes, and never longer for any."""
        self._window = window
        self.left = window

    def landed(self, count: int, waited: float) -> None:
        """`count` bytes came in `waited` seconds."""
        earned = count / _LEAST_RATE
        self.left = min(max(self.left - waited, 0.0) + earned, self._window)
