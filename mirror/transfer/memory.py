"""Bounded memory for content that is held whole: checked blobs on their way, recent manifests."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from dataclasses import dataclass

from mirror.oci.digest import Digest


class MemoryBudget:
    """Bytes that may be held at a time; those who want more wait their turn."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._limit = limit
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used(self) -> int:
        """Bytes taken now."""
        return self._limit - self._free

    async def take(self, size: int, timeout: float) -> None:
        """Takes `size` bytes, waiting behind those who came before.

        Raises:
            TimeoutError: They did not come free within `timeout` seconds.
        """
        size = min(size, self._limit)
        if not self._waiting and self._free >= size:
            self._free -= size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size, turn)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(timeout):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.give(size)
            else:
                # Not there any more when bytes came free between our end and this line.
                with contextlib.suppress(ValueError):
                    self._waiting.remove(entry)
                self._wake()
            raise

    def give(self, size: int) -> None:
        """Gives back what `take` took."""
        self._free += min(size, self._limit)
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= size
                turn.set_result(None)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or index whose bytes match its digest."""

    digest: Digest
    media_type: str
    data: bytes


class ManifestCache:
    """The manifests fetched last.

    containerd asks for each twice, HEAD by tag and GET by digest; the second is answered from
    here. Content-addressed, so nothing in it can be stale.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._manifests: OrderedDict[Digest, Manifest] = OrderedDict()

    def get(self, digest: Digest) -> Manifest | None:
        """The manifest, if it was fetched lately."""
        return self._manifests.get(digest)

    def add(self, manifest: Manifest) -> None:
        """Keeps a checked manifest, dropping the oldest ones beyond the limit."""
        if manifest.digest in self._manifests or len(manifest.data) > self._limit:
            return
        self._manifests[manifest.digest] = manifest
        self._size += len(manifest.data)
        while self._size > self._limit:
            _, old = self._manifests.popitem(last=False)
            self._size -= len(old.data)
