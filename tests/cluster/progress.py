"""How steadily a pull goes, seen from the growth of containerd's content store."""

from __future__ import annotations

import itertools
import threading
import time

from tests.cluster.containerd import Containerd

_INTERVAL = 0.01


class Progress:
    """Watches one content store while the `with` block runs.

    containerd writes a download in steps of 1 MiB (measured with 1.6.20 and 2.1.9), so a link of
    100 Mbit/s shows steps 80 ms apart.
    """

    def __init__(self, containerd: Containerd) -> None:
        """Watches `containerd`'s store; begins with the `with` block."""
        self._containerd = containerd
        self._start = 0
        self._growth: list[tuple[float, int]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Progress:
        self._start = self._containerd.received_bytes()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def received(self) -> int:
        """Bytes that came in since the start."""
        return self._growth[-1][1] if self._growth else 0

    def longest_stall(self, since: float) -> float:
        """The longest time without growth, in seconds, before the last byte came.

        Args:
            since: Moment (`time.monotonic()`) from which stalls count.

        Raises:
            ValueError: Nothing came after `since`, so there was nothing left to stall.
        """
        before = [moment for moment, _ in self._growth if moment <= since]
        after = [moment for moment, _ in self._growth if moment > since]
        if not after:
            raise ValueError(f"all {self.received} bytes had come before")
        moments = [*before[-1:], *after]
        return max(late - early for early, late in itertools.pairwise(moments))

    def _watch(self) -> None:
        while not self._ended.wait(_INTERVAL):
            received = self._containerd.received_bytes() - self._start
            if received > self.received:  # it seems to shrink while a file is being committed
                self._growth.append((time.monotonic(), received))
