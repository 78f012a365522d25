"""What every `Store` must do; the real ones and the fake pass the same function.

A test of a store writes a `Driver`, which changes what the store holds the way its real user
would, and calls `check_store`:

    async def test_memory_store_conforms():
        store = MemoryStore()
        await check_store(store, MemoryDriver(store))
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import pytest

from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.oci.media import OCI_INDEX, OCI_MANIFEST
from mirror.store.port import (
    Blob,
    Change,
    Content,
    ContentAdded,
    ContentRemoved,
    NameRemoved,
    NameSet,
    Store,
)

BOUND = 20.0
"""Seconds that any change may take to show; far above what every store needs."""


class Driver(Protocol):
    """Changes what a store holds, from outside of it."""

    async def add(self, data: bytes, registry: str) -> None:
        """Commits content that was pulled from `registry`."""
        ...

    async def remove(self, digest: Digest) -> None:
        """Deletes content."""
        ...

    async def set_name(self, name: str, digest: Digest) -> None:
        """Creates an image name, or moves it."""
        ...

    async def remove_name(self, name: str) -> None:
        """Deletes an image name; the content stays."""
        ...


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Waits until `condition` holds; fails with `what` after `BOUND` seconds."""
    try:
        async with asyncio.timeout(BOUND):
            while not condition():  # noqa: ASYNC110 - any condition, also one without an event
                await asyncio.sleep(0.005)
    except TimeoutError:
        pytest.fail(f"not within {BOUND:.0f} s: {what}")


@contextlib.asynccontextmanager
async def running(store: Store) -> AsyncIterator[None]:
    """Runs the store and waits until it is ready; an error of `run` fails the test."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(store.run())
        await eventually(lambda: store.ready, "the store is ready")
        try:
            yield
        finally:
            task.cancel()


async def check_store(store: Store, driver: Driver) -> None:
    """Runs `store` through its whole contract.

    Args:
        store: Not yet running; it may hold other things than those added here.
        driver: Changes it.
    """
    early = b"held before the store was started"
    await driver.add(early, "docker.io")
    await driver.set_name("docker.io/library/early:1", Digest.of(early))
    assert not store.ready
    async with running(store):
        assert store.find(Digest.of(early)) is not None
        assert store.resolve("docker.io/library/early:1") == Digest.of(early)
        changes: list[Change] = []
        stop = store.subscribe(changes.append)
        await _check_blob(store, driver, changes)
        await _check_manifests(store, driver)
        await _check_reading(store, driver)
        await _check_names(store, driver, changes)
        await _check_removal(store, driver, changes)
        stop()
        stop()
        seen = len(changes)
        await driver.remove(Digest.of(early))
        await eventually(lambda: store.find(Digest.of(early)) is None, "the early blob is gone")
        assert len(changes) == seen, "a listener was called after it was stopped"
    assert not store.ready


async def _check_blob(store: Store, driver: Driver, changes: list[Change]) -> None:
    data = b"\x1f\x8b a layer"
    digest = Digest.of(data)
    assert store.find(digest) is None
    await driver.add(data, "ghcr.io")
    wanted = Content(digest, len(data), "", frozenset({"ghcr.io"}))
    await eventually(lambda: store.find(digest) == wanted, f"{wanted} is found")
    assert ContentAdded(wanted) in changes
    assert wanted in list(store.contents())
    own = [c for c in changes if isinstance(c, ContentAdded) and c.content.digest == digest]
    assert len(own) == len(set(own)), "the same change was told twice"


async def _check_manifests(store: Store, driver: Driver) -> None:
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "", "size": 1}
    manifest = json.dumps({"schemaVersion": 2, "config": config, "layers": []}).encode()
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    image_config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}}).encode()
    for data, media_type in ((manifest, OCI_MANIFEST), (index, OCI_INDEX), (image_config, "")):
        digest = Digest.of(data)
        await driver.add(data, "docker.io")
        await eventually(lambda digest=digest: store.find(digest) is not None, "it is found")  # type: ignore[misc]
        found = store.find(digest)
        assert found is not None
        assert found.media_type == media_type


async def _check_reading(store: Store, driver: Driver) -> None:
    data = bytes(range(256)) * 5000
    digest = Digest.of(data)
    with pytest.raises(NotHere):
        store.open(digest)
    await driver.add(data, "docker.io")
    await eventually(lambda: store.find(digest) is not None, "the large blob is found")
    blob = store.open(digest)
    assert blob.size == len(data)
    assert await _whole(blob) == data
    assert await blob.read(0, 1) == data[:1]
    assert await blob.read(1000, 700_000) == data[1000:701_000]
    assert await blob.read(len(data) - 3, 100) == data[-3:]
    assert await blob.read(len(data), 1) == b""
    assert await blob.read(len(data) + 5, 1) == b""
    assert await blob.read(0, 0) == b""
    both = await asyncio.gather(blob.read(0, 500_000), blob.read(500_000, 500_000))
    assert b"".join(both) == data[:1_000_000]
    blob.close()
    blob.close()
    with pytest.raises(OSError, match=r"closed|descriptor"):
        await blob.read(0, 1)


async def _check_names(store: Store, driver: Driver, changes: list[Change]) -> None:
    one, two = b"first manifest", b"second manifest"
    name = "registry.example:5000/team/app:v1"
    for data in (one, two):
        await driver.add(data, "registry.example")
    assert store.resolve(name) is None
    for digest in (Digest.of(one), Digest.of(two)):
        await driver.set_name(name, digest)
        await eventually(lambda digest=digest: store.resolve(name) == digest, f"{name} points")  # type: ignore[misc]
        assert NameSet(name, digest) in changes
        assert (name, digest) in list(store.names())
    await driver.remove_name(name)
    await eventually(lambda: store.resolve(name) is None, f"{name} is gone")
    assert NameRemoved(name) in changes
    await eventually(lambda: store.find(Digest.of(two)) is not None, "the content has stayed")


async def _check_removal(store: Store, driver: Driver, changes: list[Change]) -> None:
    data = b"soon gone" * 100_000
    digest = Digest.of(data)
    await driver.add(data, "docker.io")
    await eventually(lambda: store.find(digest) is not None, "it is found")
    blob = store.open(digest)
    if blob.fileno() is None:
        assert await blob.read(0, 4) == data[:4]
    await driver.remove(digest)
    await eventually(lambda: store.find(digest) is None, "it is gone")
    assert ContentRemoved(digest) in changes
    assert digest not in {content.digest for content in store.contents()}
    with pytest.raises(NotHere):
        store.open(digest)
    if blob.fileno() is not None:
        assert await _whole(blob) == data
    blob.close()
    await driver.add(data, "docker.io")
    await eventually(lambda: store.find(digest) is not None, "it is back")


async def _whole(blob: Blob) -> bytes:
    parts = []
    offset = 0
    while part := await blob.read(offset, 256 * 1024):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)
