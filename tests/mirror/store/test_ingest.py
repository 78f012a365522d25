from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.oci.digest import Digest
from mirror.store.growing import Abandoned, Growing
from mirror.store.ingest import DigestMismatch, Ingest
from mirror.store.layout import LayoutStore
from tests.mirror.store.conformance import running

DATA = random.Random(1).randbytes(1_000_000)
DIGEST = Digest.of(DATA)
BOUND = 20.0


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LayoutStore]:
    store = LayoutStore(tmp_path)
    async with running(store):
        yield store


async def follow(growing: Growing) -> bytes:
    """Reads as the registry does, by descriptor."""
    blob = growing.open()
    try:
        descriptor, parts, offset = blob.fileno(), [], 0
        assert descriptor is not None
        async with asyncio.timeout(BOUND):
            while (size := await growing.grown(offset)) > offset:
                parts.append(os.pread(descriptor, size - offset, offset))
                offset = size
        return b"".join(parts)
    finally:
        blob.close()


async def write(ingest: Ingest, data: bytes = DATA, step: int = 100_000) -> None:
    for start in range(0, len(data), step):
        await ingest.write(memoryview(data)[start : start + step])
        await asyncio.sleep(0)


async def test_followers_read_while_it_grows(store: LayoutStore) -> None:
    async with await store.ingest(DIGEST, len(DATA)) as ingest:
        followers = [asyncio.create_task(follow(ingest)) for _ in range(3)]
        await write(ingest, DATA[:500_000])
        followers.append(asyncio.create_task(follow(ingest)))
        await write(ingest, DATA[500_000:])
        content = await ingest.commit("", "docker.io")
    assert content.size == len(DATA)
    assert await asyncio.gather(*followers) == [DATA] * 4
    assert await follow(ingest) == DATA


async def test_reading_by_read_gives_what_has_landed(store: LayoutStore) -> None:
    async with await store.ingest(DIGEST, None) as ingest:
        blob = ingest.open()
        assert await blob.read(0, 10) == b""
        await ingest.write(DATA[:1000])
        assert blob.size == 1000
        assert await blob.read(990, 100) == DATA[990:1000]
        await ingest.write(DATA[1000:])
        await ingest.commit("", "docker.io")
        assert await blob.read(0, len(DATA)) == DATA
        blob.close()


async def test_cancelled_follower_disturbs_nobody(store: LayoutStore) -> None:
    async with await store.ingest(DIGEST, len(DATA)) as ingest:
        leaving, staying = (asyncio.create_task(follow(ingest)) for _ in range(2))
        await write(ingest, DATA[:500_000])
        leaving.cancel()
        await write(ingest, DATA[500_000:])
        await ingest.commit("", "docker.io")
    assert await staying == DATA
    assert leaving.cancelled()


async def test_followers_of_an_abandoned_ingest_are_told(store: LayoutStore) -> None:
    ingest = await store.ingest(DIGEST, len(DATA))
    follower = asyncio.create_task(follow(ingest))
    await ingest.write(DATA[:1000])
    await ingest.abort("the download broke")
    with pytest.raises(Abandoned, match="the download broke"):
        await follower
    with pytest.raises(Abandoned):
        ingest.open()
    with pytest.raises(ValueError, match="no more"):
        await ingest.write(b"x")
    await ingest.abort()


async def test_followers_of_wrong_bytes_are_told(store: LayoutStore) -> None:
    async with await store.ingest(DIGEST, len(DATA)) as ingest:
        follower = asyncio.create_task(follow(ingest))
        await write(ingest, DATA[:-1] + b"?")
        with pytest.raises(DigestMismatch):
            await ingest.commit("", "docker.io")
    with pytest.raises(Abandoned):
        await follower


@pytest.mark.parametrize("total", [len(DATA), len(DATA) + 1])
async def test_size_must_be_what_was_announced(store: LayoutStore, total: int) -> None:
    async with await store.ingest(DIGEST, total) as ingest:
        await ingest.write(DATA[:-1])
        with pytest.raises(DigestMismatch):
            await (ingest.write(b"xy") if total == len(DATA) else ingest.commit("", ""))
    assert store.find(DIGEST) is None


async def test_writer_may_be_cancelled_at_any_moment(store: LayoutStore, tmp_path: Path) -> None:
    async def download() -> None:
        async with await store.ingest(DIGEST, len(DATA)) as ingest:
            await write(ingest, step=50_000)
            await ingest.commit("", "docker.io")

    for turns in range(0, 120, 3):
        task = asyncio.create_task(download())
        for _ in range(turns):
            await asyncio.sleep(0.0002)
        task.cancel()
        await asyncio.wait([task])
        assert store.growing(DIGEST) is None
        assert list((tmp_path / "ingest").iterdir()) == []
        blob = tmp_path / "blobs" / "sha256" / DIGEST.hex
        assert blob.exists() is (store.find(DIGEST) is not None)
        if blob.exists():
            assert blob.read_bytes() == DATA
            break
    held = [entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.exists()]
    assert not [link for link in held if link.is_relative_to(tmp_path / "ingest")]


async def test_content_fetched_again_keeps_its_registries(store: LayoutStore) -> None:
    for registry in ("docker.io", "reg.example:5000"):
        async with await store.ingest(DIGEST, len(DATA)) as ingest:
            await ingest.write(DATA)
            content = await ingest.commit("", registry)
    assert content.registries == {"docker.io", "reg.example"}
