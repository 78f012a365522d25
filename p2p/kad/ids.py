"""Keys, places in the key space, and who is nearest to one."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from random import Random

from p2p.port import Key

BITS = 256
"""Width of the key space."""


def key_of(text: str) -> Key:
    """The DHT key of a key string: its sha2-256 multihash (`createCid` in Spegel)."""
    return Key(b"\x12\x20" + hashlib.sha256(text.encode()).digest())


def place_of(data: bytes) -> int:
    """Where a key or peer id lies in the key space; distance is XOR (Kademlia §2.1)."""
    return int.from_bytes(hashlib.sha256(data).digest(), "big")


def shared_bits(one: int, other: int) -> int:
    """How many leading bits two places have in common."""
    return BITS - (one ^ other).bit_length()


def target_sharing(place: int, bits: int, random: Random) -> bytes:
    """Something whose place shares at least `bits` leading bits with `place`.

    Places are hashes, so it is found by trying: 2^`bits` hashes on average. Meant for up to 8.
    """
    while True:
        target = random.randbytes(32)
        if shared_bits(place_of(target), place) >= bits:
            return target


def nearest(places: Sequence[int], place: int, count: int) -> list[int]:
    """The `count` of `places` nearest to `place`, nearest first.

    Args:
        places: In ascending order: places with a common prefix stand side by side, so only the
            smallest subtree around `place` that holds enough of them has to be sorted.
        place: Where to look from.
        count: How many; fewer come back when there are fewer.
    """
    low, high = 0, len(places)
    for shift in range(BITS - 1, -1, -1):
        if high - low <= count:
            break
        middle = bisect_left(places, (place >> shift | 1) << shift, low, high)
        inner = (middle, high) if place >> shift & 1 else (low, middle)
        if inner[1] - inner[0] < count:
            break
        low, high = inner
    return sorted(places[low:high], key=lambda other: other ^ place)[:count]
