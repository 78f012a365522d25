from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mirror.oci.digest import Digest
from mirror.oci.errors import RangeNotSatisfiable
from mirror.oci.media import OCI_MANIFEST
from mirror.oci.ranges import RangeRequest, Span
from mirror.transfer.elsewhere import Peers
from mirror.transfer.found import Description, MemoryBody, Source
from mirror.transfer.wanted import Kind, Wanted
from tests.mirror.loopback import Loopback, loopback
from tests.mirror.sample import make_sample
from tests.mirror.scripted_peer import holding, scripted

SAMPLE = make_sample(1000)
MANIFEST = Wanted(Kind.MANIFEST, "docker.io", "library/x", SAMPLE.digest, None)
BLOB = Wanted(Kind.BLOB, "docker.io", "library/x", Digest.of(SAMPLE.layer), None)


@pytest.fixture
async def cluster() -> AsyncIterator[Loopback]:
    async with loopback() as cluster:
        yield cluster


@pytest.fixture
async def peers(cluster: Loopback) -> Peers:
    await scripted(cluster, holding(SAMPLE.manifest), MANIFEST.key)
    await scripted(cluster, holding(SAMPLE.layer), BLOB.key)
    return Peers((await cluster.node()).remote)


async def test_peers_describe_manifests_with_their_type_and_blobs_without(peers: Peers) -> None:
    assert await peers.describe(MANIFEST) == Description(
        SAMPLE.digest, len(SAMPLE.manifest), OCI_MANIFEST, Source.PEER
    )
    assert await peers.describe(BLOB) == Description(
        Digest.of(SAMPLE.layer), len(SAMPLE.layer), "", Source.PEER
    )


async def test_range_of_a_manifest_is_cut_from_it(peers: Peers) -> None:
    found = await peers.open(MANIFEST, RangeRequest(3, 9))
    assert isinstance(found.body, MemoryBody)
    assert (found.body.data, found.span) == (SAMPLE.manifest[3:10], Span(3, 10))
    found.release()
    with pytest.raises(RangeNotSatisfiable):
        await peers.open(MANIFEST, RangeRequest(10**6, None))


async def test_blob_comes_with_its_span(peers: Peers) -> None:
    found = await peers.open(BLOB, RangeRequest(None, 10))
    assert isinstance(found.body, MemoryBody)
    assert found.body.data == SAMPLE.layer[-10:]
    found.release()


def test_tags_come_from_the_store_first() -> None:
    assert not Peers.tags_first
