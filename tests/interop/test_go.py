"""One cluster of Go's libp2p and ours, as in Spegel: join, provide, find, both ways."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from p2p.node import Node
from p2p.settings import Settings

from .go_peer import NoGo, build, go_peer

# The first run compiles go-libp2p: four minutes on two cores.
pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]

KEYS = 1000
PSK = bytes(range(32))
FAMILIES = {
    "ipv4": ("/ip4/127.0.0.1/tcp/0", "127.0.0.1"),
    "ipv6": ("/ip6/::1/tcp/0", "::1"),
}


@pytest.fixture(scope="session")
def binary() -> Path:
    try:
        return build()
    except NoGo as error:
        pytest.skip(str(error))


def settings(folder: Path, ip: str, *sources: str, psk: bytes | None = None) -> Settings:
    return Settings(folder, port=0, listen=(ip,), psk=psk, bootstrap=sources)


async def until(condition, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - another thread's state
            await asyncio.sleep(0.02)


async def joined(node: Node, *ids: str) -> None:
    await until(lambda: {*ids} <= {peer.peer for peer in node.peers()})


async def knows(go, node: Node) -> None:
    async with asyncio.timeout(20):
        while node.id not in await go.call("peers"):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


async def find_all(node: Node, prefix: str, peer: str) -> int:
    """How many of the keys the node finds at `peer`."""
    slots = asyncio.Semaphore(16)

    async def find(number: int) -> bool:
        async with slots:
            async for provider in node.providers(f"{prefix}{number}", 20):
                if provider.peer == peer:
                    return True
        return False

    return sum(await asyncio.gather(*(find(number) for number in range(KEYS))))


@pytest.mark.parametrize("psk", [None, PSK], ids=["open", "psk"])
@pytest.mark.parametrize("family", FAMILIES)
async def test_no_key_is_lost_either_way(binary, tmp_path, family, psk):
    listen, ip = FAMILIES[family]
    async with (
        go_peer(binary, listen, psk=psk) as go,
        Node(settings(tmp_path, ip, go.address, psk=psk)) as node,
    ):
        await joined(node, go.id)
        await knows(go, node)
        start = time.monotonic()
        await node.provide(f"ours{number}" for number in range(KEYS))
        assert await go.call("find", prefix="ours", n=KEYS) == KEYS
        print(f"ours to Go: {time.monotonic() - start:.2f} s")
        start = time.monotonic()
        assert await go.call("provide", prefix="theirs", n=KEYS) == KEYS
        assert await find_all(node, "theirs", go.id) == KEYS
        print(f"Go's to ours: {time.monotonic() - start:.2f} s")


async def test_go_joins_through_our_node(binary, tmp_path):
    listen, ip = FAMILIES["ipv4"]
    async with (
        Node(settings(tmp_path, ip)) as node,
        go_peer(binary, listen) as first,
        go_peer(binary, listen) as second,
    ):
        for go in (first, second):
            await go.call("connect", addr=node.addresses[0])
            await knows(go, node)
        await joined(node, first.id, second.id)
        assert await first.call("provide", prefix="theirs", n=10) == 10
        assert await second.call("find", prefix="theirs", n=10) == 10


async def test_nodes_of_ours_find_each_other_through_go(binary, tmp_path):
    listen, ip = FAMILIES["ipv4"]
    async with (
        go_peer(binary, listen) as go,
        Node(settings(tmp_path / "one", ip, go.address)) as one,
        Node(settings(tmp_path / "two", ip, go.address)) as two,
    ):
        await joined(one, go.id)
        await joined(two, go.id)
        await one.provide(["key"])

        async def found() -> bool:
            return one.id in [provider.peer async for provider in two.providers("key", 5)]

        async with asyncio.timeout(20):
            while not await found():  # noqa: ASYNC110 - asks the network
                await asyncio.sleep(0.1)


async def test_peer_with_the_identity_of_k3s_is_understood(binary, tmp_path):
    """K3s's embedded Spegel has an ECDSA key, which stock py-libp2p cannot read."""
    listen, ip = FAMILIES["ipv4"]
    async with (
        go_peer(binary, listen, ecdsa=True) as go,
        Node(settings(tmp_path, ip, go.address)) as node,
    ):
        assert go.id.startswith("Qm")
        await joined(node, go.id)
        await knows(go, node)
        assert await go.call("provide", prefix="theirs", n=20) == 20
        found = [provider.peer async for provider in node.providers("theirs0", 5)]
        assert found == [go.id]


@pytest.mark.parametrize("theirs", [None, b"x" * 32], ids=["none", "wrong"])
async def test_wrong_key_connects_neither_way(binary, tmp_path, caplog, theirs):
    listen, ip = FAMILIES["ipv4"]
    async with (
        go_peer(binary, listen, psk=theirs) as go,
        Node(settings(tmp_path, ip, psk=PSK)) as node,
    ):
        assert await node.join([go.address]) == []
        with pytest.raises(RuntimeError):
            await go.call("connect", addr=node.addresses[0], seconds=8)
        assert await go.call("peers") == []
        assert node.peers() == []
    assert "the same pre-shared key" in caplog.text


async def test_no_key_is_lost_after_go_reset_the_idle_stream(binary, tmp_path):
    listen, ip = FAMILIES["ipv4"]
    async with (
        go_peer(binary, listen) as go,
        Node(settings(tmp_path, ip, go.address)) as node,
    ):
        await joined(node, go.id)
        await knows(go, node)
        await node.provide(["before0"])
        await asyncio.sleep(70)
        await node.provide(f"after{number}" for number in range(20))
        assert await go.call("find", prefix="after", n=20) == 20
