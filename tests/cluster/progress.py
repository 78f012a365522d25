"""How steadily a pull goes, seen from the growth of the files in containerd's content store."""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict

from tests.cluster.containerd import Containerd

_INTERVAL = 0.01


class Progress:
    """Watches one content store while the `with` block runs.

    containerd writes a download in steps of 1 MiB (measured with 1.6.20 and 2.1.9), so three at a
    time on a link of 200 Mbit/s show steps 130 ms apart.
    """

    def __init__(self, containerd: Containerd) -> None:
        """Watches `containerd`'s store; begins with the `with` block."""
        self._containerd = containerd
        self._start = 0
        self._growth: dict[str, list[float]] = defaultdict(list)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.received = 0
        """Bytes that came in since the start."""

    def __enter__(self) -> Progress:
        self._start = self._containerd.received_bytes()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def longest_stall(self, since: float) -> float:
        """The longest time in seconds that a download stood still between two pieces of it.

        Args:
            since: Moment (`time.monotonic()`) from which stalls count.

        Raises:
            ValueError: Nothing came after `since`, so there was nothing left to stall.
        """
        stalls = [
            late - early
            for moments in self._growth.values()
            for early, late in itertools.pairwise(moments)
            if late > since
        ]
        if not stalls:
            raise ValueError(f"all {self.received} bytes had come before")
        return max(stalls)

    def _watch(self) -> None:
        sizes: dict[str, int] = {}
        while not self._ended.wait(_INTERVAL):
            for name, size in self._containerd.downloads().items():
                if size > sizes.get(name, 0):
                    sizes[name] = size
                    self._growth[name].append(time.monotonic())
            # It seems to shrink for a moment while a file is being committed.
            received = self._containerd.received_bytes() - self._start
            self.received = max(self.received, received)
