"""The transports behind `p2p.port`, in memory and on sockets."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from p2p.port import Host
from p2p.settings import Settings
from p2p.wire.host import open_host
from tests.p2p.conformance import check_host
from tests.p2p.kad.network import address_of
from tests.p2p.memory import Internet, MemoryHost


def test_the_transport_in_memory_conforms():
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            internet, numbers = Internet(nursery), itertools.count()

            @asynccontextmanager
            async def new_host() -> AsyncIterator[Host]:
                yield MemoryHost(internet, address_of(next(numbers)))

            await check_host(new_host)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_the_transport_on_sockets_conforms(tmp_path):
    numbers = itertools.count()

    @asynccontextmanager
    async def new_host() -> AsyncIterator[Host]:
        folder = tmp_path / str(next(numbers))
        async with open_host(Settings(folder, port=0, listen=("127.0.0.1",))) as host:
            yield host

    trio.run(check_host, new_host)
