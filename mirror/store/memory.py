"""A store that lives in memory: the stand-in for tests of everything above it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.store.indexed import IndexedStore
from mirror.store.port import Content
from mirror.store.recognise import media_type


class MemoryStore(IndexedStore):
    """Honours `Store`; what it holds is put in and taken out by hand.

    Attributes:
        ready: As `Store.ready`; True while `run` runs, and free to be set.
    """

    def __init__(self, *, ready: bool = False) -> None:
        super().__init__()
        self.ready = ready
        self._data: dict[Digest, bytes] = {}

    def add(self, data: bytes, registries: Iterable[str] = ("docker.io",)) -> Digest:
        """Commits content; also changes the registries of content that is there."""
        digest = Digest.of(data)
        self._data[digest] = data
        self._index.put(Content(digest, len(data), media_type(data), frozenset(registries)))
        return digest

    def remove(self, digest: Digest) -> None:
        """Deletes content; blobs that are open stay readable."""
        self._data.pop(digest, None)
        self._index.remove(digest)

    def set_name(self, name: str, digest: Digest) -> None:
        """Points `registry/repository:tag` to a digest."""
        self._index.set_name(name, digest)

    def remove_name(self, name: str) -> None:
        """Takes a name away."""
        self._index.remove_name(name)

    def open(self, digest: Digest) -> MemoryBlob:
        """As `Store.open`."""
        try:
            return MemoryBlob(self._data[digest])
        except KeyError:
            raise NotHere(f"{digest} is not in this store") from None

    async def run(self) -> None:
        """As `Store.run`: ready until cancelled."""
        self.ready = True
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.ready = False


class MemoryBlob:
    """Bytes opened for reading; has no descriptor."""

    def __init__(self, data: bytes) -> None:
        self._data: bytes | None = data
        self._size = len(data)

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def fileno(self) -> int | None:
        """None: only `read` works."""
        return None

    async def read(self, offset: int, length: int) -> bytes:
        """As `Blob.read`."""
        if self._data is None:
            raise OSError("the blob is closed")
        return self._data[offset : offset + length]

    def close(self) -> None:
        """As `Blob.close`."""
        self._data = None
