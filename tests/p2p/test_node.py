"""Nodes with real sockets on loopback, as asyncio callers see them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from p2p.loop import LoopEnded
from p2p.node import Node
from p2p.settings import Settings

KEYS = [f"sha256:{number:064x}" for number in range(300)]


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of the n-th node, on 127.0.0.n."""

    def make(number: int, *bootstrap: str, **more: object) -> Settings:
        return Settings(
            tmp_path / str(number),
            port=0,
            listen=(f"127.0.0.{number}",),
            bootstrap=bootstrap,
            **more,
        )

    return make


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it becomes true in another thread
            await asyncio.sleep(0.01)


async def until_calm(node: Node) -> None:
    """Waits until the count of tasks stands still for a moment."""
    seen = [await node.tasks()]
    async with asyncio.timeout(5.0):
        while len(seen) < 5 or len(set(seen[-5:])) > 1:
            await asyncio.sleep(0.02)
            seen.append(await node.tasks())


def up(node: Node) -> int:
    return sum(peer.state == "up" for peer in node.peers())


@asynccontextmanager
async def cluster(settings, count: int) -> AsyncIterator[list[Node]]:
    """Nodes that all know each other, the later ones joined through the first."""
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(Node(settings(1)))]
        for number in range(2, count + 1):
            node = Node(settings(number, *nodes[0].addresses))
            nodes.append(await stack.enter_async_context(node))
        await until(lambda: all(up(node) == count - 1 for node in nodes))
        yield nodes


async def peers_of(node: Node, key: str, timeout: float = 5.0) -> list[str]:
    return [provider.peer async for provider in node.providers(key, timeout)]


async def test_three_nodes_find_each_others_keys(settings):
    async with cluster(settings, 3) as nodes:
        for node in nodes[:2]:
            await node.provide(KEYS)
        await until(lambda: all(len(nodes[2].known(key)) == 2 for key in KEYS))
        expected = {node.id: (f"127.0.0.{number}",) for number, node in enumerate(nodes[:2], 1)}
        found = {p.peer: p.addresses for p in nodes[2].known(KEYS[0])}
        assert found == expected
        assert sorted(await peers_of(nodes[2], KEYS[0])) == sorted(expected)
        assert await peers_of(nodes[0], KEYS[0]) == [nodes[1].id]
        assert await peers_of(nodes[2], "sha256:unknown") == []


async def test_peers_stats_and_addresses_tell_what_is(settings):
    async with cluster(settings, 3) as nodes:
        await nodes[1].provide(KEYS)
        await until(lambda: nodes[0].stats().records == len(KEYS))
        assert all(node.ready for node in nodes)
        assert nodes[1].stats().own_keys == len(KEYS)
        assert nodes[0].stats().peers_up == 2
        assert nodes[0].stats().connections >= 2
        (address,) = nodes[0].addresses
        assert address.startswith("/ip4/127.0.0.1/tcp/")
        assert address.endswith(f"/p2p/{nodes[0].id}")
        peer = next(peer for peer in nodes[0].peers() if peer.peer == nodes[1].id)
        assert peer.addresses == ("127.0.0.2",)
        assert peer.is_ours
        assert peer.agent == "spegla"
        assert 0 < peer.latency < 5


async def test_searches_leave_no_tasks(settings):
    async with cluster(settings, 2) as (one, two):
        await one.provide(KEYS[:5])
        await until_calm(two)
        before = await two.tasks()
        for key in KEYS[:50]:
            await peers_of(two, key, 1.0)
        await until_calm(two)
        assert await two.tasks() <= before + 2


async def test_keys_are_a_set_and_withdrawn_ones_are_gone(settings):
    async with cluster(settings, 2) as (first, second):
        await first.provide(KEYS)
        await first.provide(KEYS[:10])
        await first.withdraw([*KEYS[:10], "never provided"])
        await until(lambda: bool(second.known(KEYS[10])))
        assert first.stats().own_keys == len(KEYS) - 10
        assert second.known(KEYS[0]) == []
        assert await peers_of(second, KEYS[0]) == []


async def test_a_late_joiner_knows_old_keys(settings):
    async with cluster(settings, 2) as (first, second):
        await first.provide(KEYS)
        async with Node(settings(3, *second.addresses)) as late:
            await until(lambda: all(late.known(key) for key in KEYS))


async def test_a_node_that_leaves_is_forgotten_at_once(settings):
    async with cluster(settings, 2) as (first, second):
        async with Node(settings(3, *first.addresses)) as third:
            await third.provide(KEYS)
            await until(lambda: bool(first.known(KEYS[-1]) and second.known(KEYS[-1])))
            leaver = third.id
        for node in (first, second):
            assert node.known(KEYS[0]) == []
            assert leaver not in {peer.peer for peer in node.peers()}


async def test_a_node_without_peers_answers_at_once(settings):
    async with Node(settings(1)) as node:
        assert node.ready
        await node.provide(KEYS)
        assert node.known(KEYS[0]) == []
        assert await asyncio.wait_for(peers_of(node, KEYS[0]), 1) == []


async def test_a_timeout_ends_the_search_without_an_error(settings):
    async with cluster(settings, 2) as (first, _):
        assert await peers_of(first, KEYS[0], timeout=0.0) == []


async def test_a_search_may_be_left_at_any_time(settings):
    async with cluster(settings, 2) as (first, second):
        await second.provide(KEYS)
        async with contextlib.aclosing(first.providers(KEYS[0], 5.0)) as found:
            assert (await anext(found)).peer == second.id
        search = first.providers("sha256:unknown", 5.0)
        task = asyncio.ensure_future(anext(search))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
            await task
        assert await peers_of(first, "sha256:other") == []


async def test_addresses_can_be_joined_later(settings):
    async with Node(settings(1)) as first, Node(settings(2)) as second:
        assert await second.join(first.addresses) == [first.id]
        await until(lambda: up(first) == up(second) == 1)
        with pytest.raises(ValueError, match="nonsense"):
            await second.join(["nonsense"])


async def test_another_pre_shared_key_is_another_network(settings):
    async with Node(settings(1, psk=b"a" * 32)) as first:
        async with Node(settings(2, *first.addresses, psk=b"a" * 32)) as second:
            await until(lambda: up(second) == 1)
        async with Node(settings(3, *first.addresses, psk=b"b" * 32)) as stranger:
            await asyncio.sleep(0.5)
            assert not stranger.ready
            assert stranger.peers() == []


async def test_a_node_keeps_its_id_and_its_peers_over_a_restart(settings):
    async with Node(settings(1)) as first:
        async with Node(settings(2, *first.addresses)) as second:
            await until(lambda: up(second) == 1)
            before = second.id
        async with Node(settings(2)) as second:
            assert second.id == before
            await until(lambda: up(second) == 1)


async def test_a_taken_port_is_told_at_the_start(settings):
    async with Node(settings(1)) as first:
        port = int(first.addresses[0].split("/")[4])
        with pytest.raises(OSError, match=str(port)):
            async with Node(replace(settings(1), port=port, data_dir=settings(9).data_dir)):
                pass


async def test_a_crash_of_the_network_reaches_the_supervisor(settings):
    async with Node(settings(1)) as node:
        waiting = asyncio.create_task(node.wait_failed())

        async def crash() -> None:
            raise ZeroDivisionError

        node._entered.post(lambda: node._inside.service._nursery.start_soon(crash))
        with pytest.raises(LoopEnded) as caught:
            await asyncio.wait_for(waiting, 5)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        with pytest.raises(LoopEnded):
            await node.provide(KEYS)
        with pytest.raises(LoopEnded):
            await peers_of(node, KEYS[0])


async def test_closing_is_no_failure(settings):
    async with Node(settings(1)) as node:
        waiting = asyncio.create_task(node.wait_failed())
        await asyncio.sleep(0.01)
    await asyncio.wait_for(waiting, 5)


async def test_a_node_outside_its_block_says_so(settings):
    node = Node(settings(1))
    with pytest.raises(RuntimeError, match="async with"):
        node.known(KEYS[0])
    with pytest.raises(RuntimeError, match="async with"):
        await node.provide(KEYS)


async def test_the_event_loop_is_never_blocked(settings):
    with blockbuster_ctx():
        async with cluster(settings, 2) as (first, second):
            await first.provide(KEYS)
            await until(lambda: bool(second.known(KEYS[-1])))
            assert await peers_of(second, KEYS[0]) == [first.id]
            await first.withdraw(KEYS)
