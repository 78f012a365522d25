"""The bounds of every wait on a peer."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024

_LEAST_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and bytes; the defaults keep a pull within 6 s of what it takes without us.

    Attributes:
        connect: Seconds to connect, TLS included. A lost SYN is repeated after 1 s only (Linux), so
            waiting that long would gain nothing.
        head: Seconds to the head of an answer. Generous, because a busy holder is better than
            the upstream; a dead one is found sooner by the kernel (`unacknowledged`).
        stall: Seconds without a byte in mid-body.
        unacknowledged: Seconds after which the kernel gives up a peer that acknowledges nothing.
        search: Seconds for finding a holder that answers, all attempts together.
        walk: Seconds for the DHT to name providers.
        whole: Seconds for all of a manifest or of a blob that is checked before its first byte,
            from whichever peers.
        verified_first: Blobs up to this size are checked before their first byte is passed on;
            of larger ones the last chunk is held back until the digest is right.
        chunk: Bytes that a lone relay reads, hashes and sends at a time; it has two such buffers.
        relays: Bytes of such buffers, beyond which further relays get smaller ones.
        in_memory: Bytes of checked blobs that may wait in memory for their askers, in all.
    """

    connect: float = 0.8
    head: float = 5.0
    stall: float = 4.0
    unacknowledged: float = 2.0
    search: float = 5.0
    walk: float = 1.0
    whole: float = 15.0
    verified_first: int = 8 * MIB
    chunk: int = MIB
    relays: int = 4 * MIB
    in_memory: int = 32 * MIB

    def chunk_for(self, running: int) -> int:
        """Bytes of a relay's chunks when `running` bodies are on their way, itself included."""
        return min(self.chunk, max(_LEAST_CHUNK, self.relays // (2 * max(running, 1))))

    def hurried(self, stalls: int) -> tuple[float, float]:
        """`search` and `stall` for content of which `stalls` peers stalled or trickled already.

        So ten sick peers cost less than one and a half times as much as one.
        """
        haste = 8.0 * 2.0 ** min(stalls - 1, 2) if stalls else 1.0
        return self.search / haste, self.stall / haste
