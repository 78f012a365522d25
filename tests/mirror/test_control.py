from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from mirror.control import Control, serve_control
from mirror.errors import SetupError
from mirror.metrics import Metrics
from mirror.oci.digest import Digest
from mirror.store.memory import MemoryStore
from mirror.transfer.peers import Fault, PeerBook
from p2p.node import Node
from p2p.provider import Provider
from p2p.status import PeerStatus, Stats

DIGEST = Digest.of(b"x")


class FakeNode:
    """What `Control` asks of a `Node`."""

    id = "12D3KooWexample"
    addresses = ("/ip4/10.0.0.1/tcp/5001",)

    def __init__(self) -> None:
        self.asked: list[str] = []

    def stats(self) -> Stats:
        return Stats(*range(12))

    def peers(self) -> list[PeerStatus]:
        return [PeerStatus("12D3KooWother", ("10.0.0.2",), "up", 0.01, "spegel", is_ours=False)]

    async def tasks(self) -> int:
        return 7

    async def providers(self, key: str, timeout: float) -> AsyncIterator[Provider]:
        self.asked.append(key)
        yield Provider("12D3KooWother", ("10.0.0.2",))


class Bench:
    def __init__(self) -> None:
        self.node = FakeNode()
        self.store = MemoryStore(ready=True)
        self.book = PeerBook()
        self.metrics = Metrics()
        self.control = Control(
            {"version": "1"},
            node=cast("Node", self.node),
            store=self.store,
            book=self.book,
            metrics=self.metrics,
            obstacle=lambda: "no peer has answered yet",
        )

    async def ask(self, path: Path, target: str) -> tuple[int, Any]:
        connector = aiohttp.UnixConnector(str(path))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"http://node{target}") as response,
        ):
            return response.status, await response.json()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node" / "control.sock"


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Bench]:
    bench = Bench()
    async with serve_control(bench.control.app, path):
        yield bench


async def test_only_the_owner_may_open_the_socket(path: Path) -> None:
    async with serving(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


async def test_status_tells_what_a_node_holds_and_does(path: Path) -> None:
    async with serving(path) as bench:
        digest = bench.store.add(b"content")
        bench.store.set_name("docker.io/library/x:1", digest)
        bench.metrics.mirrored("docker.io", hit=True)
        status, shown = await bench.ask(path, "/status")
    assert status == 200
    assert shown["tasks"] > 7  # those of the network's thread, and ours
    assert shown["version"] == "1"
    assert shown["peer_id"] == "12D3KooWexample"
    assert (shown["content"], shown["content_bytes"], shown["tags"]) == (1, 7, 1)
    assert (shown["peers"], shown["transfers"]) == (1, 0)
    assert shown["obstacle"] == "no peer has answered yet"
    assert shown["network"]["own_keys"] == 5
    assert shown["counters"]["spegel_mirror_requests{registry=docker.io,cache=hit}"] == 1


async def test_peers_tells_of_the_network_and_of_their_registries(path: Path) -> None:
    async with serving(path) as bench:
        bench.book.failed("10.0.0.2", Fault.STALLED, 0.0)
        _, shown = await bench.ask(path, "/peers")
    assert shown["peers"][0]["peer"] == "12D3KooWother"
    assert (shown["registries"][0]["address"], shown["registries"][0]["faults"]) == ("10.0.0.2", 1)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (str(DIGEST), str(DIGEST)),
        ("busybox:1", "docker.io/library/busybox:1"),
        (f"busybox:1@{DIGEST}", str(DIGEST)),
    ],
)
async def test_find_tells_who_holds_a_digest_or_a_tag(path: Path, name: str, key: str) -> None:
    async with serving(path) as bench:
        status, shown = await bench.ask(path, f"/find?name={name.replace('@', '%40')}")
    assert (status, shown["key"], bench.node.asked) == (200, key, [key])
    assert shown["providers"] == [{"peer": "12D3KooWother", "addresses": ["10.0.0.2"]}]


@pytest.mark.parametrize("query", ["", "?name=", "?name=UPPER", "?name=sha256:short", "?x=%00"])
async def test_find_refuses_what_names_nothing(path: Path, query: str) -> None:
    async with serving(path) as bench:
        status, shown = await bench.ask(path, f"/find{query}")
    assert status == 400
    assert "invalid" in shown["error"]
    assert bench.node.asked == []


async def test_socket_of_a_node_that_was_killed_is_replaced(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with serving(path) as bench:
        assert (await bench.ask(path, "/status"))[0] == 200


async def test_folder_that_cannot_be_made_is_a_setup_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"control\.sock: .*check data-dir"):
        async with serve_control(web.Application(), tmp_path / "file" / "control.sock"):
            await asyncio.sleep(0)
