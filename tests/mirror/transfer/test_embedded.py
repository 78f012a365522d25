"""The embedded store: what is fetched is kept, and passed on while it lands."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import replace

import pytest

from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.oci.errors import RangeNotSatisfiable
from mirror.oci.media import OCI_MANIFEST
from mirror.oci.ranges import RangeRequest, Span
from mirror.store.growing import Growing
from mirror.store.ingest import DigestMismatch, Ingest
from mirror.store.layout import LayoutStore
from mirror.store.port import Content
from mirror.transfer.embedded import Embedded
from mirror.transfer.found import FileBody, Found, Source
from mirror.transfer.relay import BrokenOff
from mirror.transfer.upstream_error import UpstreamError
from mirror.transfer.wanted import Kind, Wanted
from tests.mirror.loopback import QUICK, until
from tests.mirror.sample import make_sample
from tests.mirror.store.conformance import running
from tests.mirror.store.layout_driver import put

DATA = random.Random(15).randbytes(1_000_000)
DIGEST = Digest.of(DATA)
SAMPLE = make_sample(100)
WANTED = Wanted(Kind.BLOB, "docker.io", "library/x", DIGEST, None)
TAGGED = Wanted(Kind.MANIFEST, "docker.io", "library/x", None, "1")
LIMITS = replace(QUICK, verified_first=300_000, chunk=100_000)


class FakeKeeper:
    """Honours `Keeper`; downloads land when the test writes them."""

    def __init__(self, store: LayoutStore) -> None:
        self.store = store
        self.error: Exception | None = None
        self.ingest: Ingest

    async def manifest(self, registry: str, repository: str, wanted: Digest | str) -> Content:
        if self.error is not None:
            raise self.error
        await put(self.store, SAMPLE.manifest)
        content = self.store.find(SAMPLE.digest)
        assert content is not None
        return content

    async def blob(self, registry: str, repository: str, digest: Digest) -> Growing:
        if self.error is not None:
            raise self.error
        return self.ingest


@pytest.fixture
async def store(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LayoutStore]:
    store = LayoutStore(tmp_path_factory.mktemp("layout"))
    async with running(store):
        yield store


@pytest.fixture
def keeper(store: LayoutStore) -> FakeKeeper:
    return FakeKeeper(store)


@pytest.fixture
def embedded(store: LayoutStore, keeper: FakeKeeper) -> Embedded:
    return Embedded(store, keeper, LIMITS)


async def read(found: Found) -> bytes:
    try:
        if isinstance(found.body, FileBody):
            return await found.body.blob.read(found.span.start, found.span.length)
        body = found.body
        async with aclosing(body.chunks()) as chunks:  # type: ignore[union-attr]
            return b"".join([bytes(chunk) async for chunk in chunks])
    finally:
        found.release()


async def test_large_blob_is_passed_on_while_it_lands(
    store: LayoutStore, keeper: FakeKeeper, embedded: Embedded
) -> None:
    async with await store.ingest(DIGEST, len(DATA)) as keeper.ingest:
        await keeper.ingest.write(DATA[:400_000])
        whole = await embedded.open(WANTED, None)
        part = await embedded.open(WANTED, RangeRequest(5, 399_999))
        assert whole.description.source is Source.UPSTREAM
        assert (whole.description.size, part.span) == (len(DATA), Span(5, 400_000))
        assert (await embedded.describe(WANTED)).size == len(DATA)
        assert await read(part) == DATA[5:400_000]
        reading = asyncio.create_task(read(whole))
        await keeper.ingest.write(DATA[400_000:])
        await asyncio.sleep(0.02)
        assert not reading.done()
        await keeper.ingest.commit("", "docker.io")
        assert await reading == DATA


async def test_last_bytes_wait_until_all_is_verified(
    store: LayoutStore, keeper: FakeKeeper, embedded: Embedded
) -> None:
    wrong = DATA[:-1] + bytes([DATA[-1] ^ 1])
    with suppress(DigestMismatch):
        async with await store.ingest(DIGEST, len(DATA)) as keeper.ingest:
            await keeper.ingest.write(DATA[:500_000])
            found = await embedded.open(WANTED, None)
            reading = asyncio.create_task(read(found))
            await asyncio.sleep(0.02)
            await keeper.ingest.write(wrong[500_000:])
            await keeper.ingest.commit("", "docker.io")
    with pytest.raises(BrokenOff):
        await reading


async def test_small_blob_is_there_before_its_first_byte(
    store: LayoutStore, keeper: FakeKeeper, embedded: Embedded
) -> None:
    small = DATA[:1000]
    wanted = replace(WANTED, digest=Digest.of(small))
    async with await store.ingest(Digest.of(small), len(small)) as keeper.ingest:
        opening = asyncio.create_task(embedded.open(wanted, RangeRequest(10, None)))
        await keeper.ingest.write(small)
        await asyncio.sleep(0.02)
        assert not opening.done()
        await keeper.ingest.commit("", "docker.io")
        assert await read(await opening) == small[10:]


async def test_blob_of_unknown_size_is_described_when_it_is_all_there(
    store: LayoutStore, keeper: FakeKeeper, embedded: Embedded
) -> None:
    async with await store.ingest(DIGEST, None) as keeper.ingest:
        describing = asyncio.create_task(embedded.describe(WANTED))
        await keeper.ingest.write(DATA)
        await asyncio.sleep(0.02)
        assert not describing.done()
        await keeper.ingest.commit("", "docker.io")
        assert (await describing).size == len(DATA)


async def test_download_that_is_given_up_is_not_here(
    store: LayoutStore, keeper: FakeKeeper, embedded: Embedded
) -> None:
    async with await store.ingest(DIGEST, len(DATA)) as keeper.ingest:
        await keeper.ingest.abort("the upstream failed")
    with pytest.raises(NotHere, match="the upstream failed"):
        await embedded.open(WANTED, None)


async def test_range_outside_of_what_grows_is_not_satisfiable(
    store: LayoutStore, keeper: FakeKeeper, embedded: Embedded
) -> None:
    async with await store.ingest(DIGEST, len(DATA)) as keeper.ingest:
        with pytest.raises(RangeNotSatisfiable):
            await embedded.open(WANTED, RangeRequest(len(DATA), None))


async def test_body_whose_reader_leaves_frees_its_file(
    store: LayoutStore, keeper: FakeKeeper, embedded: Embedded
) -> None:
    async with await store.ingest(DIGEST, len(DATA)) as keeper.ingest:
        found = await embedded.open(WANTED, None)
        reading = asyncio.create_task(read(found))
        await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    await until(reading.cancelled)


async def test_manifest_is_kept_and_opened_from_the_store(embedded: Embedded) -> None:
    description = await embedded.describe(TAGGED)
    assert (description.digest, description.media_type) == (SAMPLE.digest, OCI_MANIFEST)
    assert await read(await embedded.open(TAGGED, None)) == SAMPLE.manifest


@pytest.mark.parametrize("error", [NotHere("gone"), UpstreamError("refused"), OSError("disk full")])
async def test_tag_is_answered_from_the_store_when_nobody_else_can(
    store: LayoutStore, keeper: FakeKeeper, embedded: Embedded, error: Exception
) -> None:
    keeper.error = error
    with pytest.raises(NotHere):
        await embedded.describe(TAGGED)
    await put(store, SAMPLE.manifest)
    await store.tag(TAGGED.name, SAMPLE.digest)
    assert (await embedded.describe(TAGGED)).digest == SAMPLE.digest


@pytest.mark.parametrize("error", [UpstreamError("refused"), OSError("disk full"), NotHere("x")])
async def test_blob_that_cannot_be_fetched_is_not_here(
    keeper: FakeKeeper, embedded: Embedded, error: Exception
) -> None:
    keeper.error = error
    for ask in (embedded.describe(WANTED), embedded.open(WANTED, None)):
        with pytest.raises(NotHere):
            await ask
