"""Peers first, and the upstream behind them."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest

from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.oci.media import OCI_MANIFEST
from mirror.transfer.memory import Manifest
from mirror.transfer.origin import Download, PeersFirst
from mirror.transfer.upstream_error import UpstreamError
from tests.mirror.loopback import QUICK, Loopback, loopback
from tests.mirror.sample import make_sample
from tests.mirror.scripted_peer import Behaviour, cut_after, holding, lying, scripted

DATA = random.Random(14).randbytes(900_000)
DIGEST = Digest.of(DATA)
SAMPLE = make_sample(100)
TAG = "docker.io/library/x:1"


class Bytes:
    """Honours `Download`."""

    def __init__(self, data: bytes) -> None:
        self.total: int | None = len(data)
        self._data = data

    async def chunks(self) -> AsyncGenerator[bytes | memoryview]:
        for start in range(0, len(self._data), 100_000):
            yield self._data[start : start + 100_000]


class FakeUpstream:
    """Honours `Origin`; has everything unless told otherwise."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.error: Exception | None = None

    async def manifest(self, registry: str, repository: str, wanted: Digest | str) -> Manifest:
        self.asked.append(wanted)
        if self.error is not None:
            raise self.error
        return Manifest(SAMPLE.digest, OCI_MANIFEST, SAMPLE.manifest)

    @asynccontextmanager
    async def open_blob(
        self, registry: str, repository: str, digest: Digest, offset: int = 0
    ) -> AsyncIterator[Download]:
        self.asked.append(offset)
        if self.error is not None:
            raise self.error
        yield Bytes(DATA[offset:])


@pytest.fixture
async def cluster() -> AsyncIterator[Loopback]:
    async with loopback(replace(QUICK, chunk=200_000)) as cluster:
        yield cluster


class Bench:
    def __init__(self, cluster: Loopback) -> None:
        self.cluster = cluster
        self.upstream = FakeUpstream()
        self.now = 0.0
        self.origin: PeersFirst

    async def pull(self, offset: int = 0) -> bytes:
        async with (
            self.origin.open_blob("docker.io", "library/x", DIGEST, offset) as download,
            aclosing(download.chunks()) as chunks,
        ):
            return b"".join([bytes(chunk) async for chunk in chunks])

    async def manifest(self, wanted: Digest | str) -> bytes:
        return (await self.origin.manifest("docker.io", "library/x", wanted)).data


@pytest.fixture
async def bench(cluster: Loopback) -> Bench:
    bench = Bench(cluster)
    remote = (await cluster.node()).remote
    bench.origin = PeersFirst(remote, bench.upstream, lambda: bench.now)
    return bench


async def test_blob_comes_from_a_peer(bench: Bench) -> None:
    await scripted(bench.cluster, holding(DATA), DIGEST)
    assert await bench.pull() == DATA
    assert bench.upstream.asked == []


async def test_blob_that_no_peer_holds_comes_from_upstream(bench: Bench) -> None:
    assert await bench.pull() == DATA
    assert bench.upstream.asked == [0]


async def test_rest_of_a_blob_comes_from_upstream_at_its_offset(bench: Bench) -> None:
    await scripted(bench.cluster, holding(DATA), DIGEST)
    assert await bench.pull(1000) == DATA[1000:]
    assert bench.upstream.asked == [1000]


@pytest.mark.parametrize("count", [0, 300_000, len(DATA) - 1])
async def test_upstream_finishes_what_peers_began(bench: Bench, count: int) -> None:
    await scripted(bench.cluster, cut_after(DATA, count), DIGEST)
    assert await bench.pull() == DATA
    (offset,) = bench.upstream.asked
    assert isinstance(offset, int)
    assert offset <= count


async def test_wrong_end_of_a_peer_is_replaced_by_the_upstream_s(bench: Bench) -> None:
    await scripted(bench.cluster, lying(DATA, -1), DIGEST)
    assert await bench.pull() == DATA


async def test_neither_has_it(bench: Bench) -> None:
    bench.upstream.error = NotHere("no")
    with pytest.raises(NotHere):
        await bench.pull()


@pytest.mark.parametrize("behaviour", [holding(SAMPLE.manifest), None])
async def test_manifest_by_digest_comes_from_peers_then_upstream(
    bench: Bench, behaviour: Behaviour | None
) -> None:
    if behaviour is not None:
        await scripted(bench.cluster, behaviour, SAMPLE.digest)
    assert await bench.manifest(SAMPLE.digest) == SAMPLE.manifest
    assert bench.upstream.asked == ([] if behaviour else [SAMPLE.digest])


async def test_tag_is_what_the_upstream_says_while_it_answers(bench: Bench) -> None:
    peer = await scripted(bench.cluster, holding(make_sample(5).manifest), TAG)
    assert await bench.manifest("1") == SAMPLE.manifest
    bench.upstream.error = NotHere("deleted there")
    with pytest.raises(NotHere):
        await bench.manifest("1")
    assert peer.asked == []


async def test_tag_comes_from_peers_while_the_upstream_is_away(bench: Bench) -> None:
    other = make_sample(5)
    await scripted(bench.cluster, holding(other.manifest), TAG)
    bench.upstream.error = UpstreamError("refused")
    for _ in range(3):
        assert await bench.manifest("1") == other.manifest
    assert bench.upstream.asked == ["1"]
    bench.upstream.error = None
    bench.now = 31.0
    assert await bench.manifest("1") == SAMPLE.manifest
