"""Joining, over the transport in memory and in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import trio
import trio.testing

from p2p.joiner import RECHECK, Joiner
from p2p.port import PeerAddress
from p2p.service import Service
from p2p.settings import Limits
from tests.p2p.kad.network import address_of
from tests.p2p.memory import Internet, MemoryHost


class FakeBootstrap:
    """Names `known`, and counts how often it was asked."""

    def __init__(self, *known: PeerAddress) -> None:
        self.known = list(known)
        self.asked: list[float] = []
        self.remembered: list[PeerAddress] = []

    @property
    def first(self) -> bool:
        return not self.known

    async def peers(self) -> list[PeerAddress]:
        self.asked.append(trio.current_time())
        await trio.sleep(0.01)
        return self.known

    async def remember(self, peers: Sequence[PeerAddress]) -> None:
        self.remembered = list(peers)

    async def join(self, sources: Sequence[str]) -> list[PeerAddress]:
        return [address_of(int(source)) for source in sources]


async def start(
    internet: Internet, number: int, bootstrap: FakeBootstrap, *, listening: bool = True
) -> tuple[MemoryHost, Joiner]:
    host = MemoryHost(internet, address_of(number))
    service = Service(host, Random(number), Limits(), internet.nursery)
    joiner = Joiner(service, bootstrap)
    internet.nursery.start_soon(service.run)
    internet.nursery.start_soon(joiner.run)
    if listening:
        await host.listen()
    return host, joiner


def run(check) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await check(Internet(nursery))
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_the_first_node_is_ready_and_the_second_when_it_has_joined():
    async def check(internet: Internet) -> None:
        _, first = await start(internet, 0, FakeBootstrap())
        bootstrap = FakeBootstrap(address_of(0))
        _, second = await start(internet, 1, bootstrap)
        assert first.ready
        assert not first.has_peers
        assert not second.ready
        await trio.sleep(2.0)
        assert first.has_peers
        assert second.ready
        assert bootstrap.remembered == [address_of(0)]

    run(check)


def test_a_node_whose_peers_come_up_late_joins_then():
    async def check(internet: Internet) -> None:
        bootstrap = FakeBootstrap(address_of(0))
        first, _ = await start(internet, 0, FakeBootstrap(), listening=False)
        _, second = await start(internet, 1, bootstrap)
        await trio.sleep(100.0)
        assert not second.ready
        assert 5 < len(bootstrap.asked) < 15
        await first.listen()
        await trio.sleep(70.0)
        assert second.ready

    run(check)


def test_a_node_that_lost_all_peers_looks_for_them_again():
    async def check(internet: Internet) -> None:
        bootstrap = FakeBootstrap(address_of(0))
        first, _ = await start(internet, 0, FakeBootstrap())
        _, second = await start(internet, 1, bootstrap)
        await trio.sleep(2.0)
        asked = len(bootstrap.asked)
        await first.close()
        await trio.sleep(5.0)
        assert not second.has_peers
        assert len(bootstrap.asked) > asked
        await first.listen()
        await trio.sleep(70.0)
        assert second.has_peers

    run(check)


def test_sources_are_asked_now_and_then_while_all_is_well():
    async def check(internet: Internet) -> None:
        bootstrap = FakeBootstrap(address_of(0))
        await start(internet, 0, FakeBootstrap())
        await start(internet, 1, bootstrap)
        await trio.sleep(3 * RECHECK)
        assert 3 <= len(bootstrap.asked) <= 6

    run(check)


def test_further_sources_are_joined_at_once():
    async def check(internet: Internet) -> None:
        await start(internet, 0, FakeBootstrap())
        _, second = await start(internet, 1, FakeBootstrap())
        assert await second.join(["0"]) == [address_of(0)]
        await trio.sleep(0.5)
        assert second.has_peers

    run(check)


def test_peers_that_came_later_are_remembered_though_the_node_is_never_closed():
    async def check(internet: Internet) -> None:
        bootstrap = FakeBootstrap(address_of(0))
        await start(internet, 0, FakeBootstrap())
        await start(internet, 1, bootstrap)
        await trio.sleep(2.0)
        await start(internet, 2, FakeBootstrap(address_of(0)))
        await trio.sleep(RECHECK + 2.0)
        assert set(bootstrap.remembered) == {address_of(0), address_of(2)}

    run(check)
