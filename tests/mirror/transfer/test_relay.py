"""Large blobs passed on while they come, from peers that fail in every way."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace

import pytest
import uvloop
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.oci.ranges import RangeRequest
from mirror.transfer.relay import BrokenOff, Relay
from mirror.transfer.wanted import Kind, Wanted
from tests.mirror.leaks import nothing_left
from tests.mirror.loopback import QUICK, Loopback, LoopbackNode, fresh_address, loopback, until
from tests.mirror.scripted_peer import (
    Asked,
    Behaviour,
    answering,
    cut_after,
    hanging_after,
    hanging_up,
    holding,
    lying,
    raw,
    scripted,
    silent,
    trickling,
)

LIMITS = replace(QUICK, stall=0.4, verified_first=300_000, chunk=200_000)
DATA = random.Random(6).randbytes(1_500_000)
DIGEST = Digest.of(DATA)
WANTED = Wanted(Kind.BLOB, "docker.io", "library/x", DIGEST, None)


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


async def pull(node: LoopbackNode, asked: RangeRequest | None = None) -> bytes:
    """All bytes; or BrokenOff with what came before as its argument."""
    found = await node.remote.blob(WANTED, asked)
    got = bytearray()
    try:
        assert isinstance(found.body, Relay)
        async with aclosing(found.body.chunks()) as chunks:
            async for chunk in chunks:
                got += chunk
    except BrokenOff as error:
        if len(got) >= found.span.length:
            raise AssertionError("a body that broke off is complete") from error
        raise BrokenOff(bytes(got)) from error
    finally:
        found.release()
    return bytes(got)


def faults(node: LoopbackNode, address: str) -> int:
    return node.client.book.get(address).faults


def shunned(node: LoopbackNode, address: str, seconds: float) -> bool:
    return not node.client.book.usable(address, "any", node.client.clock() + seconds)


async def test_whole_blob_comes_from_the_first_holder_only(
    cluster: Loopback, node: LoopbackNode
) -> None:
    one, two = [await scripted(cluster, holding(DATA), DIGEST) for _ in range(2)]
    assert await pull(node) == DATA
    assert (len(one.asked), len(two.asked)) == (1, 0)
    assert faults(node, one.address) == 0


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        (RangeRequest(0, None), 0, len(DATA)),
        (RangeRequest(0, len(DATA) - 1), 0, len(DATA)),
        (RangeRequest(700_000, None), 700_000, len(DATA)),
        (RangeRequest(10, 10), 10, 11),
        (RangeRequest(None, 500_001), len(DATA) - 500_001, len(DATA)),
        (RangeRequest(5, 10**9), 5, len(DATA)),
    ],
)
async def test_range_is_just_these_bytes(
    cluster: Loopback, node: LoopbackNode, asked: RangeRequest, start: int, stop: int
) -> None:
    await scripted(cluster, holding(DATA), DIGEST)
    found = await node.remote.blob(WANTED, asked)
    found.release()
    assert (found.span.start, found.span.stop, found.description.size) == (start, stop, len(DATA))
    assert await pull(node, asked) == DATA[start:stop]


MID_BODY = [
    cut_after(DATA, 0),
    cut_after(DATA, 1),
    cut_after(DATA, 200_000),
    cut_after(DATA, 777_777, reset=True),
    cut_after(DATA, len(DATA) - 1001),
    hanging_after(DATA, 500_000),
    trickling(DATA, 100, 0.05),
    trickling(DATA, 100, 0.02, after=1_400_000),
]


@pytest.mark.parametrize(
    ("fault", "asked"),
    [*((fault, None) for fault in MID_BODY), (MID_BODY[2], RangeRequest(1000, None))],
)
async def test_another_holder_goes_on_where_the_first_failed(
    cluster: Loopback, node: LoopbackNode, fault: Behaviour, asked: RangeRequest | None
) -> None:
    bad = await scripted(cluster, fault, DIGEST)
    good = await scripted(cluster, holding(DATA), DIGEST)
    assert await pull(node, asked) == DATA[1000 if asked else 0 :]
    assert good.asked[-1].range is not None
    assert faults(node, bad.address) == 1
    assert faults(node, good.address) == 0
    assert node.metrics.counters()["spegla_failovers"] == 1
    assert node.metrics.counters()["spegla_verification_failures"] == 0
    await until(lambda: not bad.open)


async def test_several_holders_may_fail_one_after_the_other(
    cluster: Loopback, node: LoopbackNode
) -> None:
    for count in (100_000, 300_000, 300_000):
        await scripted(cluster, cut_after(DATA, count, reset=True), DIGEST)
    await scripted(cluster, holding(DATA), DIGEST)
    assert await pull(node) == DATA


@pytest.mark.parametrize("fault", MID_BODY[2:6])
async def test_without_another_holder_the_right_bytes_so_far_are_all(
    cluster: Loopback, node: LoopbackNode, fault: Behaviour
) -> None:
    await scripted(cluster, fault, DIGEST)
    with pytest.raises(BrokenOff) as broken:
        await pull(node)
    assert DATA.startswith(broken.value.args[0])
    assert len(broken.value.args[0]) < len(DATA)


@pytest.mark.parametrize("at", [0, 700_000, -1])
async def test_wrong_bytes_never_complete_a_body(
    cluster: Loopback, node: LoopbackNode, at: int
) -> None:
    liar = await scripted(cluster, lying(DATA, at), DIGEST)
    await scripted(cluster, holding(DATA), DIGEST)
    with pytest.raises(BrokenOff) as broken:
        await pull(node)
    assert len(broken.value.args[0]) < len(DATA)
    assert node.metrics.counters()["spegla_verification_failures"] == 1
    assert shunned(node, liar.address, 50.0)
    assert await pull(node) == DATA


@pytest.mark.parametrize("length", [len(DATA) - 1, len(DATA) + 1])
async def test_wrong_content_length_never_completes_a_body(
    cluster: Loopback, node: LoopbackNode, length: int
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()
    await scripted(cluster, raw(head + DATA + b"x"), DIGEST)
    await scripted(cluster, answering(404), DIGEST)
    with pytest.raises(BrokenOff) as broken:
        await pull(node)
    assert len(broken.value.args[0]) < length


async def test_answer_with_another_span_counts_and_the_next_holder_is_asked(
    cluster: Loopback, node: LoopbackNode
) -> None:
    bad = await scripted(cluster, holding(DATA, Content_Range="bytes 0-1/3"), DIGEST)
    await scripted(cluster, holding(DATA), DIGEST)
    assert await pull(node, RangeRequest(5, None)) == DATA[5:]
    assert faults(node, bad.address) == 1


async def test_consumer_that_stops_lets_the_peer_go(cluster: Loopback, node: LoopbackNode) -> None:
    for count in (0, 1, 3):
        peer = await scripted(cluster, holding(DATA), DIGEST)
        found = await node.remote.blob(WANTED, None)
        assert isinstance(found.body, Relay)
        async with aclosing(found.body.chunks()) as chunks:
            for _ in range(count):
                await anext(chunks)
        found.release()
        await until(lambda peer=peer: not peer.open)
        assert node.client.book.get(peer.address).running == 0
        cluster.network.known_holders.clear()


async def test_many_silent_holders_cost_little_more_than_one(
    cluster: Loopback, node: LoopbackNode
) -> None:
    for _ in range(6):
        await scripted(cluster, hanging_after(DATA, 100_000), DIGEST)
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(BrokenOff):
        await pull(node)
    assert loop.time() - start < 4 * LIMITS.stall


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.01, 0.05, 0.3])
async def test_pull_may_be_cancelled_at_any_moment(
    cluster: Loopback, node: LoopbackNode, delay: float
) -> None:
    peers = [
        await scripted(cluster, hanging_after(DATA, 400_000), DIGEST),
        await scripted(cluster, trickling(DATA, 50_000, 0.01), DIGEST),
    ]
    task = asyncio.create_task(pull(node))
    await asyncio.sleep(delay)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    await until(lambda: not any(peer.open for peer in peers))
    assert all(not peer.running for peer in node.client.book.all())


async def test_many_pulls_at_once_share_the_threads(cluster: Loopback, node: LoopbackNode) -> None:
    await scripted(cluster, holding(DATA), DIGEST)
    assert set(await asyncio.gather(*(pull(node) for _ in range(12)))) == {DATA}


counts = st.integers(0, len(DATA))
behaviours = st.one_of(
    st.just(holding(DATA)),
    counts.map(lambda count: cut_after(DATA, count)),
    counts.map(lambda count: cut_after(DATA, count, reset=True)),
    counts.map(lambda count: hanging_after(DATA, count)),
    st.integers(0, len(DATA) - 1).map(lambda at: lying(DATA, at)),
    st.sampled_from([404, 429, 500, 503, 401, 416]).map(answering),
    st.just(hanging_up),
    st.just(silent),
    st.just(raw(b"nonsense\r\n\r\n")),
    st.none(),
)
ranges = st.none() | st.builds(RangeRequest, st.integers(0, len(DATA) - 1), st.none())
FAST = replace(LIMITS, connect=0.15, head=0.15, stall=0.15, search=0.3, walk=0.1)


def in_turn(behaviours: list[Behaviour | None]) -> Behaviour:
    """Does one after the other, over and over."""
    turns = itertools.cycle(behaviours)

    async def behave(asked: Asked) -> None:
        behaviour = next(turns)
        assert behaviour is not None
        await behaviour(asked)

    return behave


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.lists(behaviours, min_size=1, max_size=3), min_size=3, max_size=5), ranges)
def test_any_schedule_of_faults_ends_in_right_bytes_a_clean_break_or_404(
    schedule: list[list[Behaviour | None]], asked: RangeRequest | None
) -> None:
    async def play() -> None:
        async with nothing_left(), loopback(FAST) as cluster:
            node = await cluster.node()
            for turns in schedule:
                if None in turns:
                    cluster.network.known_holders[DIGEST].append(fresh_address())
                else:
                    await scripted(cluster, in_turn(turns), DIGEST)
            try:
                async with asyncio.timeout(10.0):
                    body = await pull(node, asked)
            except (NotHere, BrokenOff):
                body = None
            assert all(not peer.running for peer in node.client.book.all())
            if body is not None and asked is None:
                assert body == DATA
            elif body is not None and asked is not None:
                # Part of a blob cannot be checked here; containerd does so when it commits.
                assert len(body) == asked.resolve(len(DATA)).length

    uvloop.run(play())
