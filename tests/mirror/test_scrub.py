"""A holder that is told of wrong bytes looks, and stops sharing what is corrupt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from mirror.advertise import Advertiser
from mirror.errors import NotHere
from mirror.metrics import Metrics
from mirror.oci.digest import Digest
from mirror.scrub import Scrubber
from mirror.store.memory import MemoryStore
from mirror.transfer.doubts import Doubts
from mirror.transfer.wanted import Kind, Wanted
from tests.mirror.loopback import loopback, until

DATA = b"right" * 50_000


class Bench:
    def __init__(self) -> None:
        self.store = MemoryStore(ready=True)
        self.metrics = Metrics()
        self.now = 0.0
        self.scrubber = Scrubber(self.store, self.metrics, lambda: self.now)

    def corrupt(self, digest: Digest) -> None:
        data = self.store._data[digest]
        self.store._data[digest] = data[:-1] + b"?"

    @property
    def found(self) -> float:
        return self.metrics.registry.get_sample_value("spegla_corrupt_content_total") or 0.0


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    task = asyncio.create_task(bench.scrubber.run())
    yield bench
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_corrupt_content_is_not_listed_any_more(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    digest = bench.store.add(DATA)
    bench.corrupt(digest)
    with caplog.at_level(logging.ERROR):
        bench.scrubber.doubt(digest)
        await until(lambda: bench.store.find(digest) is None)
    assert bench.found == 1
    assert f"{digest} is corrupt" in caplog.text
    bench.store.add(DATA)
    assert bench.store.find(digest) is None, "a comparison with the store must not bring it back"
    bench.store.remove(digest)
    bench.store.add(DATA)
    assert bench.store.find(digest) is not None, "pulled anew it is trusted"


async def test_good_content_stays_and_is_not_checked_again_at_once(bench: Bench) -> None:
    digest = bench.store.add(DATA)
    bench.scrubber.doubt(digest)
    await asyncio.sleep(0.1)
    bench.corrupt(digest)
    bench.scrubber.doubt(digest)
    await asyncio.sleep(0.1)
    assert bench.store.find(digest) is not None
    bench.now = 1000.0
    bench.scrubber.doubt(digest)
    await until(lambda: bench.store.find(digest) is None)


async def test_doubts_about_what_is_not_held_or_too_many_harm_nobody(bench: Bench) -> None:
    for number in range(500):
        bench.scrubber.doubt(Digest.of(str(number).encode()))
    digest = bench.store.add(DATA)
    bench.corrupt(digest)
    await asyncio.sleep(0.1)
    bench.scrubber.doubt(digest)
    await until(lambda: bench.store.find(digest) is None)


async def test_reader_tells_the_holder() -> None:
    async with loopback() as cluster:
        store = MemoryStore(ready=True)
        digest = store.add(DATA)
        store._data[digest] = DATA[:-1] + b"?"
        holder = await cluster.node(store)
        reader = await cluster.node()
        cluster.network.known_holders[digest] = [holder.address]
        doubts = Doubts(reader.client)
        task = asyncio.create_task(doubts.run())
        with pytest.raises(NotHere):
            await reader.remote.blob(
                Wanted(Kind.BLOB, "docker.io", "library/x", digest, None), None
            )
        await until(lambda: holder.doubted == [digest])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_distrusted_content_is_withdrawn() -> None:
    provided: set[str] = set()

    class Network:
        async def provide(self, keys: set[str]) -> None:
            provided.update(keys)

        async def withdraw(self, keys: set[str]) -> None:
            provided.difference_update(keys)

    store = MemoryStore(ready=True)
    digest = store.add(DATA)
    advertiser = Advertiser(store, Network(), lambda _: True, Metrics(), latest=False)
    task = asyncio.create_task(advertiser.run())
    await until(lambda: digest in provided)
    store.distrust(digest)
    await until(lambda: digest not in provided)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
