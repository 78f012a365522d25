"""How much is measured: all of it, or just enough to see that the benchmarks work."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes, counts and seconds; the defaults are those of docs/performance.md.

    Attributes:
        blob: Bytes of the large blob.
        rounds: Times that each contender has its turn; the median counts.
        wrk_seconds: Length of one run of wrk.
        asked: Digests, each asked for once, of a latency.
        keys: Keys that one node of the swarm advertises.
        swarm: Nodes of the swarm.
        digests: Blobs in the stores of the memory question.
        transfers: Transfers under way at once in it.
        idle_seconds: How long an idle node is watched.
    """

    blob: int = 1024 * MIB
    rounds: int = 5
    wrk_seconds: int = 3
    asked: int = 250
    keys: int = 5000
    swarm: int = 20
    digests: int = 5000
    transfers: int = 8
    idle_seconds: float = 20.0

    @property
    def blob_text(self) -> str:
        """The size of the large blob, for people."""
        return f"{self.blob // MIB} MiB" if self.blob % (1024 * MIB) else f"{self.blob >> 30} GiB"


SHORT = Scale(
    blob=128 * MIB, rounds=2, wrk_seconds=1, asked=50, keys=1000, digests=200, idle_seconds=3.0
)
