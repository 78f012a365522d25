from __future__ import annotations

import pytest

from mirror.oci.digest import Digest
from mirror.store.memory import MemoryStore
from mirror.store.port import Change, ContentAdded, Store
from tests.mirror.store.conformance import check_store


class MemoryDriver:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def add(self, data: bytes, registry: str) -> None:
        self._store.add(data, [registry])

    async def remove(self, digest: Digest) -> None:
        self._store.remove(digest)

    async def set_name(self, name: str, digest: Digest) -> None:
        self._store.set_name(name, digest)

    async def remove_name(self, name: str) -> None:
        self._store.remove_name(name)


async def test_memory_store_conforms() -> None:
    store = MemoryStore()
    port: Store = store
    await check_store(port, MemoryDriver(store))


async def test_changed_registries_are_told() -> None:
    store = MemoryStore()
    digest = store.add(b"x", [])
    changes: list[Change] = []
    store.subscribe(changes.append)
    store.add(b"x", ["docker.io"])
    found = store.find(digest)
    assert found is not None
    assert changes == [ContentAdded(found)]
    assert found.registries == {"docker.io"}


async def test_closed_blob_can_not_be_read() -> None:
    store = MemoryStore()
    blob = store.open(store.add(b"x"))
    blob.close()
    with pytest.raises(OSError, match="closed"):
        await blob.read(0, 1)
