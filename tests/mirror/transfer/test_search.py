from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.oci.ranges import Span
from mirror.transfer.client import PeerClient, Response
from mirror.transfer.search import Search
from mirror.transfer.wanted import Kind, Wanted
from p2p.provider import Provider
from tests.mirror.loopback import Loopback, LoopbackNode, fresh_address, loopback, until
from tests.mirror.scripted_peer import (
    ScriptedPeer,
    answering,
    hanging_up,
    holding,
    late,
    scripted,
    silent,
)

DATA = random.Random(7).randbytes(100_000)
DIGEST = Digest.of(DATA)
WANTED = Wanted(Kind.BLOB, "docker.io", "library/x", DIGEST, None)


@pytest.fixture
async def cluster() -> AsyncIterator[Loopback]:
    async with loopback() as cluster:
        yield cluster


@pytest.fixture
async def node(cluster: Loopback) -> LoopbackNode:
    return await cluster.node()


async def find(cluster: Loopback, node: LoopbackNode, *excluded: str) -> str:
    search = Search(node.client, cluster.network, WANTED, excluded=excluded)
    response = await search.run()
    try:
        assert bytes(await response.read_all(None)) == DATA
    finally:
        response.close()
    return response.address


def remember_only(cluster: Loopback, *peers: ScriptedPeer) -> None:
    """Lets the network alone know these peers."""
    cluster.network.known_holders.clear()
    cluster.network.walked_holders[DIGEST] = [peer.address for peer in peers]


def order(node: LoopbackNode, peers: list[ScriptedPeer]) -> None:
    """Has them asked in this order."""
    for place, peer in enumerate(peers):
        node.client.book.answered(peer.address, 0.0001 * (place + 1))


async def test_nobody_is_known_and_nobody_found(cluster: Loopback, node: LoopbackNode) -> None:
    with pytest.raises(NotHere, match="no peer holds"):
        await find(cluster, node)


async def test_known_holder_is_asked_alone(cluster: Loopback, node: LoopbackNode) -> None:
    one, two = [await scripted(cluster, holding(DATA), DIGEST) for _ in range(2)]
    walked = await scripted(cluster, holding(DATA))
    cluster.network.walked_holders[DIGEST] = [walked.address]
    assert await find(cluster, node) == one.address
    assert [len(peer.asked) for peer in (one, two, walked)] == [1, 0, 0]


async def test_network_is_walked_when_the_known_do_not_help(
    cluster: Loopback, node: LoopbackNode
) -> None:
    await scripted(cluster, answering(404), DIGEST)
    walked = await scripted(cluster, holding(DATA))
    cluster.network.walked_holders[DIGEST] = [walked.address]
    assert await find(cluster, node) == walked.address


async def test_those_who_refuse_or_fail_are_passed_over_at_once(
    cluster: Loopback, node: LoopbackNode
) -> None:
    for behaviour in (answering(404), answering(500), answering(503), hanging_up):
        await scripted(cluster, behaviour, DIGEST)
    cluster.network.known_holders[DIGEST].append(fresh_address())
    good = await scripted(cluster, holding(DATA), DIGEST)
    assert await find(cluster, node) == good.address


async def test_silent_holder_is_overtaken_and_goes_last_next_time(
    cluster: Loopback, node: LoopbackNode
) -> None:
    mute = await scripted(cluster, silent, DIGEST)
    good = await scripted(cluster, holding(DATA), DIGEST)
    order(node, [mute, good])
    assert await find(cluster, node) == good.address
    assert node.client.book.get(mute.address).faults == 0
    await until(lambda: not mute.open)
    assert await find(cluster, node) == good.address
    assert len(mute.asked) == 1


async def test_busy_holder_that_answers_late_is_waited_for(
    cluster: Loopback, node: LoopbackNode
) -> None:
    busy = await scripted(cluster, late(0.4, holding(DATA)), DIGEST)
    await scripted(cluster, answering(404), DIGEST)
    await scripted(cluster, silent, DIGEST)
    assert await find(cluster, node) == busy.address
    assert node.client.book.get(busy.address).faults == 0


async def test_peer_that_stays_busy_is_waited_for_once(
    cluster: Loopback, node: LoopbackNode
) -> None:
    busy = await scripted(cluster, answering(503), DIGEST)
    for asked in 2, 3:
        with pytest.raises(NotHere):
            await find(cluster, node)
        assert len(busy.asked) == asked
    assert node.client.book.get(busy.address).faults == 0


async def test_first_answer_wins_and_the_late_one_is_given_back(
    cluster: Loopback, node: LoopbackNode
) -> None:
    slow = await scripted(cluster, late(0.2, holding(DATA)), DIGEST)
    quick = await scripted(cluster, holding(DATA), DIGEST)
    order(node, [slow, quick])
    assert await find(cluster, node) == quick.address
    assert all(not peer.running for peer in node.client.book.all())


async def test_second_holder_is_not_blamed_when_the_first_answers_after_all(
    cluster: Loopback, node: LoopbackNode
) -> None:
    first = await scripted(cluster, late(0.12, holding(DATA)), DIGEST)
    second = await scripted(cluster, late(0.5, holding(DATA)), DIGEST)
    order(node, [first, second])
    assert await find(cluster, node) == first.address
    assert node.client.book.get(second.address).faults == 0


async def test_all_silent_ends_in_time_and_shuns_them(
    cluster: Loopback, node: LoopbackNode
) -> None:
    mute = [await scripted(cluster, silent, DIGEST) for _ in range(2)]
    with pytest.raises(NotHere):
        await find(cluster, node)
    now = node.client.clock()
    assert not any(node.client.book.usable(peer.address, DIGEST, now) for peer in mute)


async def test_peer_that_failed_before_is_not_waited_for_again(
    cluster: Loopback, node: LoopbackNode
) -> None:
    mute = await scripted(cluster, silent, DIGEST)
    peer = node.client.book.get(mute.address)
    peer.faults, peer.stalled = 1, True
    loop = asyncio.get_running_loop()
    start = loop.time()
    with pytest.raises(NotHere):
        await find(cluster, node)
    assert loop.time() - start < node.client.limits.head
    assert peer.faults == 2


async def test_the_more_keep_silent_the_sooner_the_next_is_asked(
    cluster: Loopback, node: LoopbackNode
) -> None:
    mute = [await scripted(cluster, silent, DIGEST) for _ in range(25)]
    good = await scripted(cluster, holding(DATA), DIGEST)
    order(node, [*mute, good])
    assert await find(cluster, node) == good.address


async def test_excluded_shunned_and_absent_peers_are_not_asked(
    cluster: Loopback, node: LoopbackNode
) -> None:
    peers = [await scripted(cluster, holding(DATA), DIGEST) for _ in range(3)]
    book, now = node.client.book, node.client.clock()
    book.absent(peers[1].address, DIGEST, now)
    node.client.fault(peers[2].address, TimeoutError())
    with pytest.raises(NotHere):
        await find(cluster, node, peers[0].address)
    assert not any(peer.asked for peer in peers)


async def test_providers_of_a_walk_are_not_asked_all_at_once(
    cluster: Loopback, node: LoopbackNode
) -> None:
    peers = [await scripted(cluster, late(0.03, holding(DATA))) for _ in range(8)]
    remember_only(cluster, *peers)
    assert await find(cluster, node) == peers[0].address
    assert sum(len(peer.asked) for peer in peers) == 1


async def test_provider_found_late_is_asked_when_the_first_kept_silent(
    cluster: Loopback, node: LoopbackNode
) -> None:
    mute, good = await scripted(cluster, silent), await scripted(cluster, holding(DATA))

    class Slow:
        def known(self, key: str) -> list[Provider]:
            return [Provider("mute", (mute.address,))]

        async def providers(self, key: str, timeout: float) -> AsyncIterator[Provider]:
            await asyncio.sleep(0.2)
            yield Provider("good", (good.address,))
            await asyncio.sleep(60)

    response = await Search(node.client, Slow(), WANTED).run()
    response.close()
    assert response.address == good.address


async def test_network_that_fails_is_no_peer_found(
    cluster: Loopback, node: LoopbackNode, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def known(self, key: str) -> list[Provider]:
            return []

        async def providers(self, key: str, timeout: float) -> AsyncIterator[Provider]:
            raise RuntimeError("the network is gone")
            yield

    with pytest.raises(NotHere):
        await Search(node.client, Broken(), WANTED).run()
    assert "the network is gone" in caplog.text


class Gated(PeerClient):
    """All of its peers answer in one turn of the loop, one of them with content."""

    def __init__(self, client: PeerClient, answer: Response) -> None:
        vars(self).update(vars(client))
        self.opened = asyncio.Event()
        self.answer = answer

    async def ask(
        self, address: str, wanted: Wanted, method: str = "GET", span: Span | None = None
    ) -> Response:
        await self.opened.wait()
        if address == self.answer.address:
            return self.answer
        raise NotHere("gone")


async def test_answer_is_not_lost_to_a_refusal_of_the_same_moment(
    cluster: Loopback, node: LoopbackNode
) -> None:
    good = await scripted(cluster, holding(DATA), DIGEST)
    answer = await node.client.ask(good.address, WANTED)
    addresses = ["127.0.0.2", "127.0.0.3", good.address]
    cluster.network.known_holders[DIGEST] = addresses
    client = Gated(node.client, answer)
    for place, address in enumerate(addresses):
        client.book.answered(address, 0.001 * (place + 1))

    class Nobody:
        def known(self, key: str) -> list[Provider]:
            return cluster.network.known(key)

        async def providers(self, key: str, timeout: float) -> AsyncIterator[Provider]:
            # The walk, which comes last, ends in that turn too: nobody is left to wait for.
            client.opened.set()
            for provider in ():
                yield provider

    found = await Search(client, Nobody(), WANTED).run()
    found.close()
    assert found is answer


@pytest.mark.parametrize("turns", range(12))
async def test_cancelled_in_any_turn_it_leaves_no_connection_in_use(
    cluster: Loopback, node: LoopbackNode, turns: int
) -> None:
    peer = await scripted(cluster, holding(DATA), DIGEST)
    search = asyncio.create_task(
        Search(node.client, cluster.network, WANTED, span=Span(0, 10)).run()
    )
    while not peer.asked:  # noqa: ASYNC110 - each turn counts
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    search.cancel()
    (outcome,) = await asyncio.gather(search, return_exceptions=True)
    if isinstance(outcome, Response):
        outcome.close()
    assert node.client.book.get(peer.address).running == 0


async def test_peer_at_several_addresses_is_tried_at_the_next_one(
    cluster: Loopback, node: LoopbackNode
) -> None:
    good = await scripted(cluster, holding(DATA))

    class Both:
        def known(self, key: str) -> list[Provider]:
            return [Provider("x", (fresh_address(), "::1", good.address))]

        async def providers(self, key: str, timeout: float) -> AsyncIterator[Provider]:
            for provider in self.known(key):
                yield provider

    response = await Search(node.client, Both(), WANTED).run()
    response.close()
    assert response.address == good.address
