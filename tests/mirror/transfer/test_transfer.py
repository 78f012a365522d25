from __future__ import annotations

import pytest

from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.oci.errors import RangeNotSatisfiable
from mirror.oci.media import OCI_MANIFEST
from mirror.oci.ranges import RangeRequest, Span
from mirror.store.memory import MemoryStore
from mirror.transfer.found import Description, FileBody, Found, MemoryBody, Source
from mirror.transfer.transfer import Transfer
from mirror.transfer.wanted import Kind, Wanted
from tests.mirror.sample import make_sample

SAMPLE = make_sample(1000)
LAYER = Digest.of(SAMPLE.layer)
OTHER = Description(LAYER, 5, "", Source.PEER)


class Somewhere:
    """Honours `Elsewhere`; has everything, and remembers what it was asked for."""

    def __init__(self, *, tags_first: bool = False) -> None:
        self.tags_first = tags_first
        self.asked: list[Wanted] = []

    async def describe(self, wanted: Wanted) -> Description:
        self.asked.append(wanted)
        return OTHER

    async def open(self, wanted: Wanted, asked: RangeRequest | None) -> Found:
        self.asked.append(wanted)
        return Found(OTHER, Span(0, 5), MemoryBody(memoryview(b"other")), lambda: None)


def blob(digest: Digest = LAYER) -> Wanted:
    return Wanted(Kind.BLOB, "docker.io", "library/x", digest, None)


def tag(name: str = "1") -> Wanted:
    return Wanted(Kind.MANIFEST, "docker.io", "library/x", None, name)


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore(ready=True)
    store.add(SAMPLE.layer)
    store.add(SAMPLE.manifest)
    store.set_name("docker.io/library/x:1", SAMPLE.digest)
    return store


def transfer(store: MemoryStore, elsewhere: Somewhere) -> Transfer:
    return Transfer(store, elsewhere, lambda content: "docker.io" in content.registries)


async def test_what_is_held_is_told_and_opened_from_here(store: MemoryStore) -> None:
    elsewhere = Somewhere()
    node = transfer(store, elsewhere)
    assert await node.describe(tag()) == Description(
        SAMPLE.digest, len(SAMPLE.manifest), OCI_MANIFEST, Source.STORE
    )
    found = await node.open(blob(), RangeRequest(2, 4))
    assert isinstance(found.body, FileBody)
    assert (found.span, found.description.source) == (Span(2, 5), Source.STORE)
    found.release()
    assert elsewhere.asked == []


async def test_what_is_not_held_comes_from_elsewhere(store: MemoryStore) -> None:
    elsewhere = Somewhere()
    node = transfer(store, elsewhere)
    missing = blob(Digest.of(b"missing"))
    assert await node.describe(missing) == OTHER
    assert (await node.open(missing, None)).description == OTHER
    assert elsewhere.asked == [missing, missing]


async def test_range_outside_of_what_is_held_is_not_asked_for_elsewhere(
    store: MemoryStore,
) -> None:
    elsewhere = Somewhere()
    with pytest.raises(RangeNotSatisfiable):
        await transfer(store, elsewhere).open(blob(), RangeRequest(10**6, None))
    assert elsewhere.asked == []


@pytest.mark.parametrize("registries", [[], ["private.example"]])
async def test_what_may_not_leave_is_not_here(store: MemoryStore, registries: list[str]) -> None:
    store.add(SAMPLE.layer, registries)
    store.add(SAMPLE.manifest, registries)
    node = transfer(store, Somewhere())
    for wanted in (blob(), tag()):
        with pytest.raises(NotHere):
            node.held(wanted)
        with pytest.raises(NotHere):
            node.open_held(wanted, None)
        assert await node.describe(wanted) == OTHER


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(Kind.MANIFEST, "docker.io", "library/x", LAYER, None),
        blob(SAMPLE.digest),
        tag("unknown"),
        Wanted(Kind.MANIFEST, "ghcr.io", "library/x", None, "1"),
    ],
)
def test_only_what_is_asked_for_by_its_kind_and_name_is_held(
    store: MemoryStore, wanted: Wanted
) -> None:
    with pytest.raises(NotHere):
        transfer(store, Somewhere()).held(wanted)


async def test_content_deleted_between_index_and_opening_comes_from_elsewhere(
    store: MemoryStore,
) -> None:
    class Gone(MemoryStore):
        def open(self, digest: Digest):  # type: ignore[no-untyped-def]
            raise NotHere("deleted a moment ago")

    gone = Gone(ready=True)
    gone.add(SAMPLE.layer)
    assert (await transfer(gone, Somewhere()).open(blob(), None)).description == OTHER


async def test_embedded_store_asks_for_tags_elsewhere_first(store: MemoryStore) -> None:
    elsewhere = Somewhere(tags_first=True)
    node = transfer(store, elsewhere)
    assert await node.describe(tag()) == OTHER
    assert (await node.open(tag(), None)).description == OTHER
    assert (await node.describe(blob())).source is Source.STORE
    assert node.held(tag()).digest == SAMPLE.digest


def test_blob_asked_for_by_tag_has_no_digest() -> None:
    with pytest.raises(ValueError, match=r"docker\.io/library/x:1"):
        _ = tag().exact
