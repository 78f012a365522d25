"""Whether this node uses more memory than it may."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

log = logging.getLogger("spegla.agent")

_LOOK_SECONDS = 1.0
_EASED = 0.95
_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class MemoryPressure:
    """Compares the resident memory with a limit each second.

    Under pressure the node takes on less, never nothing: what is refused goes to other peers or
    the upstream. It ends below 95 % of the limit.
    """

    def __init__(self, limit: int) -> None:
        """Watches against `limit` bytes."""
        self._limit = limit
        self._high = False

    def __call__(self) -> bool:
        """Whether there is pressure now."""
        return self._high

    def look(self, resident: int) -> None:
        """Takes note of `resident` bytes."""
        high = resident > (self._limit * _EASED if self._high else self._limit)
        if high and not self._high:
            log.warning(
                "%d MiB of memory are in use, more than the %d MiB of memory-limit: fewer "
                "transfers are run at a time",
                resident >> 20,
                self._limit >> 20,
            )
        self._high = high

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            self.look(_resident())
            await asyncio.sleep(_LOOK_SECONDS)


def _resident() -> int:
    """Bytes of this process in memory; the kernel answers without a disk."""
    return int(_STATM.read_bytes().split()[1]) * _PAGE
