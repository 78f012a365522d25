"""How many large bodies this node sends to others at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mirror.oci.errors import TooManyRequests

SLOTS = 32
"""Each costs about 0.7 MiB with TLS, and a share of the link."""

_SLOTS_UNDER_PRESSURE = 4


class Uploads:
    """Slots; who finds none is told to come again or to ask another node."""

    def __init__(self, under_pressure: Callable[[], bool], slots: int = SLOTS) -> None:
        """Gives `slots` at a time; four when this node has too little memory."""
        self._under_pressure = under_pressure
        self._slots = slots
        self.running = 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Holds one slot.

        Raises:
            TooManyRequests: All are taken (503 with Retry-After).
        """
        slots = _SLOTS_UNDER_PRESSURE if self._under_pressure() else self._slots
        if self.running >= slots:
            raise TooManyRequests(
                f"this node sends {self.running} bodies already", headers={"Retry-After": "1"}
            )
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
