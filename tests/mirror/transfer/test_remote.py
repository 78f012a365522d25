"""Manifests and small blobs, checked whole before anybody sees them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from blockbuster import blockbuster_ctx

from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.oci.errors import RangeNotSatisfiable
from mirror.oci.media import MAX_MANIFEST_BYTES, OCI_INDEX, OCI_MANIFEST
from mirror.oci.ranges import RangeRequest, Span
from mirror.transfer.found import MemoryBody
from mirror.transfer.relay import Relay
from mirror.transfer.wanted import Kind, Wanted
from tests.mirror.loopback import QUICK, Loopback, LoopbackNode, loopback, until
from tests.mirror.sample import make_sample
from tests.mirror.scripted_peer import (
    Asked,
    Behaviour,
    answering,
    cut_after,
    hanging_after,
    holding,
    lying,
    raw,
    scripted,
    trickling,
)

LIMITS = replace(QUICK, verified_first=300_000, chunk=200_000, in_memory=600_000)
DATA = random.Random(8).randbytes(250_000)
DIGEST = Digest.of(DATA)
LARGE = random.Random(9).randbytes(700_000)
SAMPLE = make_sample(1000)


def blob(data: bytes) -> Wanted:
    return Wanted(Kind.BLOB, "docker.io", "library/x", Digest.of(data), None)


def manifest(digest: Digest | None = None, tag: str | None = None) -> Wanted:
    return Wanted(Kind.MANIFEST, "docker.io", "library/x", digest, tag)


@pytest.fixture(autouse=True)
def _nothing_blocks() -> Iterator[None]:
    with blockbuster_ctx("mirror"):
        yield


@pytest.fixture
async def cluster() -> AsyncIterator[Loopback]:
    async with loopback(LIMITS) as cluster:
        yield cluster


@pytest.fixture
async def node(cluster: Loopback) -> LoopbackNode:
    return await cluster.node()


async def pull(node: LoopbackNode, wanted: Wanted, asked: RangeRequest | None = None) -> bytes:
    found = await node.remote.blob(wanted, asked)
    try:
        if isinstance(found.body, MemoryBody):
            return bytes(found.body.data)
        assert isinstance(found.body, Relay)
        return b"".join([bytes(chunk) async for chunk in found.body.chunks()])
    finally:
        found.release()


def distrusted(node: LoopbackNode, address: str) -> bool:
    return not node.client.book.usable(address, "any", node.client.clock() + 50)


@pytest.mark.parametrize("size", [0, 1, 1000, 128 * 1024 + 1, 300_000])
async def test_small_blob_is_checked_in_memory(
    cluster: Loopback, node: LoopbackNode, size: int
) -> None:
    data = LARGE[:size]
    await scripted(cluster, holding(data), Digest.of(data))
    found = await node.remote.blob(blob(data), None)
    assert isinstance(found.body, MemoryBody)
    assert (found.body.data, found.span) == (data, Span(0, size))
    assert (found.description.size, found.description.digest) == (size, Digest.of(data))
    found.release()


@pytest.mark.parametrize("at", [0, len(DATA) // 2, -1])
async def test_wrong_bytes_never_show_and_the_next_holder_is_asked(
    cluster: Loopback, node: LoopbackNode, at: int
) -> None:
    liar = await scripted(cluster, lying(DATA, at), DIGEST)
    good = await scripted(cluster, holding(DATA), DIGEST)
    assert await pull(node, blob(DATA)) == DATA
    assert distrusted(node, liar.address)
    assert not distrusted(node, good.address)
    assert node.metrics.counters()["spegla_verification_failures"] == 1
    assert await pull(node, blob(DATA)) == DATA
    assert len(liar.asked) == 1


async def test_liar_alone_is_404(cluster: Loopback, node: LoopbackNode) -> None:
    await scripted(cluster, lying(DATA, 5), DIGEST)
    with pytest.raises(NotHere):
        await pull(node, blob(DATA))


@pytest.mark.parametrize(
    "fault",
    [
        cut_after(DATA, 100),
        cut_after(DATA, len(DATA) - 1, reset=True),
        hanging_after(DATA, 200_000),
        holding(DATA[:-1]),
        holding(DATA + b"x"),
        holding(b""),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 249999\r\n\r\n" + DATA),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 250001\r\n\r\n" + DATA),
    ],
)
async def test_holder_that_fails_is_replaced_before_the_first_byte(
    cluster: Loopback, node: LoopbackNode, fault: Behaviour
) -> None:
    bad = await scripted(cluster, fault, DIGEST)
    await scripted(cluster, holding(DATA), DIGEST)
    assert await pull(node, blob(DATA)) == DATA
    assert node.client.book.get(bad.address).faults == 1


@pytest.mark.parametrize("claimed", [5, 299_999])
async def test_liar_about_the_size_does_not_cost_honest_holders_their_place(
    cluster: Loopback, node: LoopbackNode, claimed: int
) -> None:
    liar = await scripted(cluster, holding(LARGE[:claimed]), Digest.of(LARGE))
    good = await scripted(cluster, holding(LARGE), Digest.of(LARGE))
    assert await pull(node, blob(LARGE)) == LARGE
    assert distrusted(node, liar.address)
    assert node.client.book.get(good.address).faults == 0


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        (RangeRequest(0, None), 0, len(DATA)),
        (RangeRequest(10, 19), 10, 20),
        (RangeRequest(None, 7), len(DATA) - 7, len(DATA)),
    ],
)
async def test_range_of_a_small_blob_is_cut_from_checked_bytes(
    cluster: Loopback, node: LoopbackNode, asked: RangeRequest, start: int, stop: int
) -> None:
    liar = await scripted(cluster, lying(DATA, -1), DIGEST)
    await scripted(cluster, holding(DATA), DIGEST)
    found = await node.remote.blob(blob(DATA), asked)
    assert isinstance(found.body, MemoryBody)
    assert (found.body.data, found.span) == (DATA[start:stop], Span(start, stop))
    found.release()
    assert distrusted(node, liar.address)


async def test_range_is_held_against_the_checked_size_not_the_claimed_one(
    cluster: Loopback, node: LoopbackNode
) -> None:
    async def confused(asked: Asked) -> None:
        await holding(DATA[:10] if asked.method == "HEAD" else DATA)(asked)

    await scripted(cluster, confused, DIGEST)
    assert await pull(node, blob(DATA), RangeRequest(1000, None)) == DATA[1000:]


@pytest.mark.parametrize("data", [DATA, LARGE])
async def test_range_past_the_end_is_the_asker_s_error_and_nobody_s_fault(
    cluster: Loopback, node: LoopbackNode, data: bytes
) -> None:
    peer = await scripted(cluster, holding(data), Digest.of(data))
    for _ in range(2):
        with pytest.raises(RangeNotSatisfiable):
            await pull(node, blob(data), RangeRequest(10**9, None))
    known = node.client.book.get(peer.address)
    assert (known.faults, known.running) == (0, 0)
    assert node.client.book.usable(peer.address, Digest.of(data), node.client.clock())
    assert await pull(node, blob(data)) == data


async def test_memory_is_shared_and_given_back(cluster: Loopback, node: LoopbackNode) -> None:
    await scripted(cluster, holding(DATA), DIGEST)
    first, second = [await node.remote.blob(blob(DATA), None) for _ in range(2)]
    third = asyncio.create_task(node.remote.blob(blob(DATA), None))
    await asyncio.sleep(0.1)
    assert not third.done()
    first.release()
    (await third).release()
    second.release()
    assert await pull(node, blob(DATA)) == DATA


async def test_no_memory_in_time_is_404_and_lets_the_peer_go(
    cluster: Loopback, node: LoopbackNode
) -> None:
    peer = await scripted(cluster, holding(DATA), DIGEST)
    held = [await node.remote.blob(blob(DATA), None) for _ in range(2)]
    with pytest.raises(NotHere, match="no memory"):
        await pull(node, blob(DATA))
    waiting = asyncio.create_task(pull(node, blob(DATA)))
    await until(lambda: node.client.book.get(peer.address).running == 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert node.client.book.get(peer.address).running == 0
    for found in held:
        found.release()
    assert await pull(node, blob(DATA)) == DATA


async def test_failures_give_their_memory_back(cluster: Loopback, node: LoopbackNode) -> None:
    for _ in range(6):
        cluster.network.known_holders.clear()
        await scripted(cluster, lying(DATA, 0), DIGEST)
        await scripted(cluster, cut_after(DATA, 9), DIGEST)
        with pytest.raises(NotHere):
            await pull(node, blob(DATA))
    await scripted(cluster, holding(DATA), DIGEST)
    assert await pull(node, blob(DATA)) == DATA


async def test_head_of_a_blob_tells_its_size(cluster: Loopback, node: LoopbackNode) -> None:
    peer = await scripted(cluster, holding(LARGE), Digest.of(LARGE))
    description = await node.remote.describe_blob(blob(LARGE))
    assert (description.size, description.media_type) == (len(LARGE), "")
    assert [asked.method for asked in peer.asked] == ["HEAD"]


async def test_manifest_by_tag_is_what_its_sender_s_digest_says(
    cluster: Loopback, node: LoopbackNode
) -> None:
    key = "docker.io/library/x:1"
    missing = await scripted(cluster, holding(SAMPLE.manifest, Docker_Content_Digest=""), key)
    other = await scripted(
        cluster, holding(SAMPLE.manifest, Docker_Content_Digest=Digest.of(b"other")), key
    )
    good = await scripted(cluster, holding(SAMPLE.manifest), key)
    found = await node.remote.manifest(manifest(tag="1"))
    assert (found.digest, found.data) == (SAMPLE.digest, SAMPLE.manifest)
    assert good.asked[0].target == "/v2/library/x/manifests/1?ns=docker.io"
    assert node.client.book.get(missing.address).faults == 1
    assert distrusted(node, other.address)


async def test_manifest_is_fetched_by_digest_once_and_by_tag_each_time(
    cluster: Loopback, node: LoopbackNode
) -> None:
    peer = await scripted(cluster, holding(SAMPLE.manifest), SAMPLE.digest, "docker.io/library/x:1")
    for _ in range(2):
        assert (await node.remote.manifest(manifest(tag="1"))).data == SAMPLE.manifest
        assert (await node.remote.manifest(manifest(SAMPLE.digest))).data == SAMPLE.manifest
    assert len(peer.asked) == 2


INDEX = json.dumps({"schemaVersion": 2, "manifests": []}).encode()


@pytest.mark.parametrize("headers", [{}, {"Content_Type": "text/html"}])
@pytest.mark.parametrize(
    ("data", "expected"), [(SAMPLE.manifest, OCI_MANIFEST), (INDEX, OCI_INDEX)]
)
async def test_manifest_says_itself_what_it_is(
    cluster: Loopback, node: LoopbackNode, headers: dict[str, str], data: bytes, expected: str
) -> None:
    await scripted(cluster, holding(data, **headers), Digest.of(data))
    assert (await node.remote.manifest(manifest(Digest.of(data)))).media_type == expected


async def test_large_manifest_is_read_in_a_thread(cluster: Loopback, node: LoopbackNode) -> None:
    data = json.dumps({"schemaVersion": 2, "manifests": [], "annotations": {"a": "x" * 10**6}})
    await scripted(cluster, holding(data.encode()), Digest.of(data.encode()))
    found = await node.remote.manifest(manifest(Digest.of(data.encode())))
    assert found.media_type == OCI_INDEX


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"schemaVersion": 1}', b"x" * 1000, b"[" * 100_000]
)
async def test_what_is_no_manifest_is_refused(
    cluster: Loopback, node: LoopbackNode, data: bytes
) -> None:
    peer = await scripted(cluster, holding(data, Content_Type=OCI_MANIFEST), Digest.of(data))
    with pytest.raises(NotHere):
        await node.remote.manifest(manifest(Digest.of(data)))
    assert node.client.book.get(peer.address).faults == 1


@pytest.mark.parametrize("by_tag", [False, True])
async def test_manifest_too_large_is_refused_before_it_is_read(
    cluster: Loopback, node: LoopbackNode, by_tag: bool
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {MAX_MANIFEST_BYTES + 1}\r\n\r\n".encode()
    key = "docker.io/library/x:1" if by_tag else SAMPLE.digest
    peer = await scripted(cluster, raw(head), key)
    wanted = manifest(tag="1") if by_tag else manifest(SAMPLE.digest)
    with pytest.raises(NotHere):
        await node.remote.manifest(wanted)
    assert node.client.book.get(peer.address).faults == 1


async def test_whole_large_blob_for_a_store(cluster: Loopback, node: LoopbackNode) -> None:
    await scripted(cluster, cut_after(LARGE, 333_333), Digest.of(LARGE))
    await scripted(cluster, holding(LARGE), Digest.of(LARGE))
    async with node.remote.download(blob(LARGE)) as relay:
        assert relay.total == len(LARGE)
        assert b"".join([bytes(chunk) async for chunk in relay.chunks()]) == LARGE


async def test_nobody_holds_it(cluster: Loopback, node: LoopbackNode) -> None:
    await scripted(cluster, answering(404), DIGEST, SAMPLE.digest)
    for ask in (
        node.remote.describe_blob(blob(DATA)),
        node.remote.blob(blob(DATA), RangeRequest(0, 1)),
        node.remote.manifest(manifest(SAMPLE.digest)),
        node.remote.manifest(manifest(tag="1")),
    ):
        with pytest.raises(NotHere):
            await ask


async def test_small_blob_that_takes_too_long_is_404_in_the_end(cluster: Loopback) -> None:
    cluster.limits = replace(LIMITS, whole=0.4)
    node = await cluster.node()
    # 30 kB/s: fast enough to be no trickle, far too slow for 250 kB in 0.4 s.
    await scripted(cluster, trickling(DATA, piece=3_000, pause=0.1), DIGEST)
    with pytest.raises(NotHere, match=r"more than 0\.4 s"):
        await pull(node, blob(DATA))
