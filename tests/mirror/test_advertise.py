from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from mirror.advertise import Advertiser
from mirror.metrics import Metrics
from mirror.oci.digest import Digest
from mirror.store.memory import MemoryStore
from tests.mirror.loopback import until
from tests.mirror.sample import make_sample

SAMPLE = make_sample(100)
TAG = "docker.io/library/sample:1"


class Announced:
    """Honours `Announcer`; knows what is provided, and fails when told to."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.calls = 0
        self.failing = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def provide(self, keys: Iterable[str]) -> None:
        await self._turn()
        self.keys |= set(keys)

    async def withdraw(self, keys: Iterable[str]) -> None:
        await self._turn()
        self.keys -= set(keys)

    async def _turn(self) -> None:
        self.calls += 1
        await self.gate.wait()
        if self.failing:
            raise ConnectionError("the network is away")


class Bench:
    """A store, a network and the advertiser between them."""

    def __init__(self, *, latest: bool = False) -> None:
        self.store = MemoryStore(ready=True)
        self.network = Announced()
        self.metrics = Metrics()
        self.advertiser = Advertiser(
            self.store, self.network, self.covers, self.metrics, latest=latest
        )

    def covers(self, registry: str) -> bool:
        return registry in {"docker.io", "ghcr.io"}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.advertiser.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def settles(self, *keys: str) -> None:
        await until(lambda: self.network.keys == set(keys))
        await asyncio.sleep(0.01)
        assert self.network.keys == set(keys)
        assert len(self.advertiser) == len(keys)

    def gauge(self, name: str, registry: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            f"spegel_advertised_{name}", {"registry": registry}
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_blob_is_advertised_at_its_commit(bench: Bench) -> None:
    async with bench.running():
        await bench.settles()
        layer = bench.store.add(SAMPLE.layer)
        await bench.settles(layer)
        config = bench.store.add(SAMPLE.config, ["quay.io", "ghcr.io"])
        await bench.settles(layer, config)


async def test_what_is_there_at_the_start_is_advertised(bench: Bench) -> None:
    keys = [bench.store.add(data) for data in (SAMPLE.manifest, *SAMPLE.blobs)]
    bench.store.set_name(TAG, SAMPLE.digest)
    async with bench.running():
        await bench.settles(*keys, TAG)


async def test_content_of_other_registries_stays_private_until_a_mirrored_one_is_known(
    bench: Bench,
) -> None:
    async with bench.running():
        digest = bench.store.add(SAMPLE.layer, [])
        bench.store.add(SAMPLE.config, ["private.example"])
        await bench.settles()
        bench.store.add(SAMPLE.layer, ["private.example", "docker.io"])
        await bench.settles(digest)
        bench.store.add(SAMPLE.layer, ["private.example"])
        await bench.settles()


@pytest.mark.parametrize("name_first", [False, True])
async def test_tag_is_advertised_once_name_and_content_are_there(
    bench: Bench, name_first: bool
) -> None:
    async with bench.running():
        if name_first:
            bench.store.set_name(TAG, SAMPLE.digest)
            await bench.settles()
            bench.store.add(SAMPLE.manifest)
        else:
            bench.store.add(SAMPLE.manifest)
            await bench.settles(SAMPLE.digest)
            bench.store.set_name(TAG, SAMPLE.digest)
        await bench.settles(SAMPLE.digest, TAG)


async def test_tag_in_a_registry_not_mirrored_is_not_advertised(bench: Bench) -> None:
    async with bench.running():
        bench.store.add(SAMPLE.manifest)
        bench.store.set_name("private.example/x:1", SAMPLE.digest)
        await bench.settles(SAMPLE.digest)


async def test_tag_of_private_content_is_not_advertised(bench: Bench) -> None:
    async with bench.running():
        bench.store.add(SAMPLE.manifest, ["private.example"])
        bench.store.set_name(TAG, SAMPLE.digest)
        await bench.settles()
        bench.store.add(SAMPLE.manifest, ["docker.io"])
        await bench.settles(SAMPLE.digest, TAG)


@pytest.mark.parametrize("latest", [False, True])
async def test_latest_is_advertised_only_when_it_is_answered(latest: bool) -> None:
    bench = Bench(latest=latest)
    name = "docker.io/library/sample:latest"
    async with bench.running():
        bench.store.add(SAMPLE.manifest)
        bench.store.set_name(name, SAMPLE.digest)
        await bench.settles(SAMPLE.digest, *([name] if latest else []))


async def test_what_is_removed_is_withdrawn(bench: Bench) -> None:
    async with bench.running():
        layer = bench.store.add(SAMPLE.layer)
        bench.store.add(SAMPLE.manifest)
        bench.store.set_name(TAG, SAMPLE.digest)
        await bench.settles(layer, SAMPLE.digest, TAG)
        bench.store.remove_name(TAG)
        await bench.settles(layer, SAMPLE.digest)
        bench.store.set_name(TAG, SAMPLE.digest)
        await bench.settles(layer, SAMPLE.digest, TAG)
        bench.store.remove(SAMPLE.digest)
        await bench.settles(layer)
        bench.store.remove(layer)
        await bench.settles()


async def test_tag_that_moves_stays_while_it_points_to_what_is_held(bench: Bench) -> None:
    other = make_sample(100, seed=2)
    async with bench.running():
        bench.store.add(SAMPLE.manifest)
        bench.store.add(other.manifest)
        bench.store.set_name(TAG, SAMPLE.digest)
        await bench.settles(SAMPLE.digest, other.digest, TAG)
        bench.store.set_name(TAG, other.digest)
        bench.store.remove(SAMPLE.digest)
        await bench.settles(other.digest, TAG)
        bench.store.set_name(TAG, Digest.of(b"not held"))
        await bench.settles(other.digest)


async def test_network_that_fails_gets_everything_when_it_is_back(bench: Bench) -> None:
    layer = bench.store.add(SAMPLE.layer)
    bench.network.failing = True
    with pytest.raises(ConnectionError):
        await bench.advertiser.run()
    config = bench.store.add(SAMPLE.config)
    bench.network.failing = False
    async with bench.running():
        await bench.settles(layer, config)
        bench.network.failing = True
        bench.store.remove(layer)
        await asyncio.sleep(0.02)
    bench.network.failing = False
    async with bench.running():
        await bench.settles(config)


async def test_what_went_away_while_nobody_listened_is_withdrawn(bench: Bench) -> None:
    layer, config = bench.store.add(SAMPLE.layer), bench.store.add(SAMPLE.config)
    bench.store.add(SAMPLE.manifest)
    bench.store.set_name(TAG, SAMPLE.digest)
    async with bench.running():
        await bench.settles(layer, config, SAMPLE.digest, TAG)
    bench.store.remove(layer)
    bench.store.remove_name(TAG)
    async with bench.running():
        await bench.settles(config, SAMPLE.digest)


async def test_change_while_the_network_is_being_told_is_told_next(bench: Bench) -> None:
    async with bench.running():
        await asyncio.sleep(0)
        bench.network.gate.clear()
        layer = bench.store.add(SAMPLE.layer)
        await until(lambda: bench.network.calls)
        bench.store.remove(layer)
        config = bench.store.add(SAMPLE.config)
        bench.network.gate.set()
        await bench.settles(config)


@pytest.mark.parametrize("seed", range(5))
async def test_advertised_is_what_may_be_fetched_whatever_happened(seed: int) -> None:
    bench = Bench()
    chance = random.Random(seed)
    samples = [make_sample(10, seed=number) for number in range(4)]
    pieces = [piece for sample in samples for piece in (sample.manifest, sample.layer)]
    names = [f"{host}/x:{n}" for host in ("docker.io", "private.example") for n in range(3)]

    def change() -> None:
        piece, name = chance.choice(pieces), chance.choice(names)
        match chance.randrange(5):
            case 0 | 1:
                bench.store.add(piece, chance.choice([[], ["docker.io"], ["private.example"]]))
            case 2:
                bench.store.remove(Digest.of(piece))
            case 3:
                bench.store.set_name(name, Digest.of(piece))
            case 4:
                bench.store.remove_name(name)

    for _ in range(4):
        bench.network.failing = False
        async with bench.running():
            for _ in range(100):
                change()
                bench.network.failing = chance.random() < 0.01
                if chance.random() < 0.5:
                    await asyncio.sleep(0)
        for _ in range(20):
            change()
    bench.network.failing = False
    async with bench.running():
        shared = {c.digest for c in bench.store.contents() if "docker.io" in c.registries}
        tags = {
            name
            for name, digest in bench.store.names()
            if digest in shared and name.startswith("docker.io/")
        }
        await bench.settles(*shared, *tags)
        assert bench.gauge("image_tags", "docker.io") == len(tags)
        assert bench.gauge("keys", "docker.io") == len(tags) + len(shared)


async def test_gauges_follow_kinds_and_registries(bench: Bench) -> None:
    async with bench.running():
        layer = bench.store.add(SAMPLE.layer)
        bench.store.add(SAMPLE.manifest)
        bench.store.set_name(TAG, SAMPLE.digest)
        await bench.settles(layer, SAMPLE.digest, TAG)
        names = ("image_tags", "image_digests", "content_digests", "keys")
        assert [bench.gauge(name, "docker.io") for name in names] == [1, 1, 1, 3]
        bench.store.add(SAMPLE.layer, ["ghcr.io"])
        await until(lambda: bench.gauge("content_digests", "ghcr.io") == 1)
        assert bench.gauge("content_digests", "docker.io") == 0
        bench.store.remove(layer)
        await until(lambda: bench.gauge("keys", "ghcr.io") == 0)
