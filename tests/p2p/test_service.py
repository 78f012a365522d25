"""The service over the transport in memory, in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

import pytest
import trio
import trio.testing

from p2p.kad.ids import key_of
from p2p.port import KAD_PROTOCOL, PeerAddress, PeerUnreachable
from p2p.service import Service
from p2p.settings import Limits
from tests.p2p.kad.network import address_of
from tests.p2p.memory import Internet, MemoryHost

KEYS = [key_of(f"sha256:{number}") for number in range(2500)]


class Cluster:
    """Services in one trio run."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.internet = Internet(nursery)
        self.hosts: list[MemoryHost] = []
        self.services: list[Service] = []

    async def grow(self, count: int) -> None:
        for _ in range(count):
            number = len(self.hosts)
            host = MemoryHost(self.internet, address_of(number))
            service = Service(host, Random(number), Limits(), self.nursery)
            self.nursery.start_soon(service.run)
            await host.listen()
            if self.hosts:
                service.meet([self.hosts[0].local])
            self.hosts.append(host)
            self.services.append(service)
        await trio.sleep(2.0)

    async def find(self, number: int, text: str) -> tuple[set[bytes], float]:
        done, found, start = trio.Event(), [], trio.current_time()
        self.services[number].find(key_of(text), found.extend, done.set)
        await done.wait()
        return {provider.peer for provider in found}, trio.current_time() - start


@pytest.fixture
def in_cluster() -> Callable[[Callable[[Cluster], Awaitable[None]]], None]:
    def run(check: Callable[[Cluster], Awaitable[None]]) -> None:
        async def main() -> None:
            async with trio.open_nursery() as nursery:
                await check(Cluster(nursery))
                nursery.cancel_scope.cancel()

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    return run


def test_keys_are_provided_found_and_withdrawn(in_cluster):
    async def check(cluster: Cluster) -> None:
        await cluster.grow(5)
        await cluster.services[1].provide(KEYS)
        await trio.sleep(1.0)
        for service in (cluster.services[0], *cluster.services[2:]):
            assert service.dht.counts.records == len(KEYS)
        assert (await cluster.find(4, "sha256:7"))[0] == {cluster.hosts[1].local.peer}
        await cluster.services[1].withdraw(KEYS[:2000])
        assert {s.dht.counts.records for s in cluster.services} == {0, 500}

    in_cluster(check)


def test_a_late_joiner_gets_old_records(in_cluster):
    async def check(cluster: Cluster) -> None:
        await cluster.grow(3)
        await cluster.services[0].provide(KEYS)
        await cluster.grow(1)
        assert cluster.services[3].dht.counts.records == len(KEYS)

    in_cluster(check)


def test_a_silent_peer_costs_one_lookup_a_quarter_second(in_cluster):
    async def check(cluster: Cluster) -> None:
        await cluster.grow(6)
        await cluster.services[1].provide(KEYS[:10])
        cluster.hosts[3].silent = True
        found, seconds = await cluster.find(0, "sha256:1")
        assert found == {cluster.hosts[1].local.peer}
        assert 0.2 < seconds < 0.3
        assert (await cluster.find(0, "sha256:2"))[1] < 0.1

    in_cluster(check)


def test_providing_does_not_wait_for_silent_peers(in_cluster):
    async def check(cluster: Cluster) -> None:
        await cluster.grow(3)
        cluster.hosts[2].silent = True
        start = trio.current_time()
        await cluster.services[0].provide(KEYS)
        assert trio.current_time() - start < 3.5
        await trio.sleep(1.0)
        assert cluster.services[1].dht.counts.records == len(KEYS)

    in_cluster(check)


def test_leaving_takes_everything_back_within_a_second(in_cluster):
    async def check(cluster: Cluster) -> None:
        await cluster.grow(4)
        await cluster.services[0].provide(KEYS)
        await trio.sleep(1.0)
        cluster.hosts[3].silent = True
        start = trio.current_time()
        await cluster.services[0].leave()
        assert trio.current_time() - start <= 1.0
        for service in cluster.services[1:3]:
            assert service.dht.counts.records == 0
            assert cluster.hosts[0].local.peer not in service.dht.table

    in_cluster(check)


def test_a_stopped_walk_says_nothing_more(in_cluster):
    async def check(cluster: Cluster) -> None:
        await cluster.grow(3)
        said: list[object] = []
        service = cluster.services[0]
        service.stop(service.find(KEYS[0], said.extend, lambda: said.append("finished")))
        await trio.sleep(1.0)
        assert said == []

    in_cluster(check)


def test_garbage_harms_neither_the_node_nor_the_next_request(in_cluster):
    async def check(cluster: Cluster) -> None:
        await cluster.grow(2)
        stranger = MemoryHost(cluster.internet, address_of(99))
        random = Random(1)
        for _ in range(50):
            with pytest.raises(PeerUnreachable):
                await stranger.request(
                    cluster.hosts[0].local, KAD_PROTOCOL, b"\xff" + random.randbytes(40), 1.0
                )
        assert cluster.services[0].dht.counts.refused == 50
        assert (await cluster.find(1, "x"))[1] < 0.1

    in_cluster(check)


def test_a_peer_that_talks_nonsense_is_not_asked_again_at_once(in_cluster):
    async def check(cluster: Cluster) -> None:
        await cluster.grow(3)
        liar = MemoryHost(cluster.internet, address_of(98))

        async def lie(sender: PeerAddress, message: bytes) -> bytes:
            return b"\xff\xff\xff"

        liar.handle(KAD_PROTOCOL, lie)
        await liar.listen()
        cluster.services[0].meet([liar.local])
        await trio.sleep(1.0)
        assert liar.local.peer not in cluster.services[0].dht.table
        assert (await cluster.find(0, "x"))[1] < 0.1

    in_cluster(check)


def test_60_nodes_find_every_key(in_cluster):
    async def check(cluster: Cluster) -> None:
        await cluster.grow(60)
        await cluster.services[30].provide(KEYS[:20])
        await trio.sleep(1.0)
        for number in range(20):
            found, _ = await cluster.find(number, f"sha256:{number}")
            assert found == {cluster.hosts[30].local.peer}

    in_cluster(check)
