"""Provider records of other nodes: who has which key, and until when."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from p2p.port import Key, PeerAddress, PeerId

TTL = 19 * 60
"""Seconds a record lives: Spegel's interval of 15 min plus twice its grace of 2 min."""

MAX_PER_KEY = 100
"""Providers kept of one key; of an image that every node has, some are as good as all."""

MAX_WITHDRAWN = 20_000
"""Withdrawn records remembered, so that hearsay of them is not believed."""

_ENTRY = struct.Struct("<II")
"""A provider's number and the second its record ends. A key's entries are one `bytes`: 8 bytes a
record instead of some 200, and other threads may read while this one replaces it."""


@dataclass(slots=True, eq=False)
class _Provider:
    address: PeerAddress
    number: int
    records: int = 0


class Records:
    """Provider records, bounded in every direction.

    Times are seconds of one monotonic clock, below 2³².
    """

    def __init__(self, limit: int = 200_000, limit_per_peer: int = 50_000) -> None:
        self._limit = limit
        self._limit_per_peer = limit_per_peer
        self._entries: dict[Key, bytes] = {}
        self._providers: dict[PeerId, _Provider] = {}
        self._by_number: dict[int, _Provider] = {}
        self._next_number = 0
        self._total = 0
        self._withdrawn: dict[tuple[Key, PeerId], int] = {}
        self._sweep: Iterator[Key] = iter(())

    def __len__(self) -> int:
        return self._total

    @property
    def keys(self) -> int:
        """Keys with at least one record."""
        return len(self._entries)

    def add(self, key: Key, provider: PeerAddress, now: float) -> bool:
        """Files or renews a record; False where a limit forbids it."""
        if self._withdrawn:
            self._withdrawn.pop((key, provider.peer), None)
        holder = self._holder(provider)
        entries = self._entries.get(key, b"")
        entry = _ENTRY.pack(holder.number, int(now) + TTL)
        offset = _find(entries, holder.number)
        if offset is not None:
            self._entries[key] = entries[:offset] + entry + entries[offset + _ENTRY.size :]
            return True
        if self._total >= self._limit or holder.records >= self._limit_per_peer:
            self._release(holder, 0)
            return False
        if len(entries) >= MAX_PER_KEY * _ENTRY.size:
            entries = self._without_oldest(entries)
        self._entries[key] = entries + entry
        holder.records += 1
        self._total += 1
        return True

    def get(self, key: Key) -> list[PeerAddress]:
        """Who provides `key`. Safe to call from another thread than the rest."""
        entries = self._entries.get(key)
        if entries is None:
            return []
        holders = (self._by_number.get(number) for number, _ in _ENTRY.iter_unpack(entries))
        return [holder.address for holder in holders if holder is not None]

    def withdraw(self, peer: PeerId, keys: Iterable[Key], now: float) -> None:
        """Drops a peer's records of `keys`, and remembers that they are not to be believed."""
        holder = self._providers.get(peer)
        for key in keys:
            self._withdrawn[key, peer] = int(now) + TTL
            if len(self._withdrawn) > MAX_WITHDRAWN:
                del self._withdrawn[next(iter(self._withdrawn))]
            entries = self._entries.get(key, b"")
            offset = None if holder is None else _find(entries, holder.number)
            if holder is not None and offset is not None:
                self._put(key, entries[:offset] + entries[offset + _ENTRY.size :])
                self._release(holder, 1)

    def withdrawn(self, key: Key, peer: PeerId) -> bool:
        """Whether the peer took that record back lately."""
        return (key, peer) in self._withdrawn

    def forget(self, peer: PeerId) -> None:
        """Drops all records of a peer at once; the sweep gives their memory back later."""
        holder = self._providers.pop(peer, None)
        if holder is not None:
            del self._by_number[holder.number]
            self._total -= holder.records

    def sweep(self, now: float, keys: int) -> None:
        """Drops what has ended among the next `keys` keys; the calls go round and round."""
        swept = list(islice(self._sweep, keys))
        if not swept:
            self._sweep = iter(list(self._entries))
            self._expire_withdrawn(now)
        for key in swept:
            entries = self._entries.get(key)
            if entries is not None:
                self._put(key, self._living(entries, now))

    def _holder(self, provider: PeerAddress) -> _Provider:
        holder = self._providers.get(provider.peer)
        if holder is None:
            holder = _Provider(provider, self._next_number)
            self._next_number += 1
            self._providers[provider.peer] = self._by_number[holder.number] = holder
        elif holder.address.addresses != provider.addresses:
            holder.address = provider
        return holder

    def _living(self, entries: bytes, now: float) -> bytes:
        living = []
        for number, ends in _ENTRY.iter_unpack(entries):
            holder = self._by_number.get(number)
            if holder is not None and ends > now:
                living.append(_ENTRY.pack(number, ends))
            elif holder is not None:
                self._release(holder, 1)
        return b"".join(living)

    def _without_oldest(self, entries: bytes) -> bytes:
        kept = sorted(_ENTRY.iter_unpack(entries), key=lambda entry: entry[1])
        holder = self._by_number.get(kept[0][0])
        if holder is not None:
            self._release(holder, 1)
        return b"".join(_ENTRY.pack(*entry) for entry in kept[1:])

    def _put(self, key: Key, entries: bytes) -> None:
        if entries:
            self._entries[key] = entries
        else:
            self._entries.pop(key, None)

    def _release(self, holder: _Provider, records: int) -> None:
        holder.records -= records
        self._total -= records
        if not holder.records:
            del self._providers[holder.address.peer]
            del self._by_number[holder.number]

    def _expire_withdrawn(self, now: float) -> None:
        ended = [record for record, ends in self._withdrawn.items() if ends <= now]
        for record in ended:
            del self._withdrawn[record]


def _find(entries: bytes, number: int) -> int | None:
    """Where a provider's entry begins."""
    wanted = number.to_bytes(4, "little")
    offset = entries.find(wanted)
    while offset >= 0:
        if offset % _ENTRY.size == 0:
            return offset
        offset = entries.find(wanted, offset + 1)
    return None
