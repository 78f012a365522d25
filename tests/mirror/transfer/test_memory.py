from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.oci.digest import Digest
from mirror.transfer.memory import Manifest, ManifestCache, MemoryBudget

LONG = 20.0


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_free_is_had_at_once() -> None:
    budget = MemoryBudget(10)
    await budget.take(4, 0.0)
    await budget.take(6, 0.0)
    assert budget.used == 10
    with pytest.raises(TimeoutError):
        await budget.take(1, 0.01)
    budget.give(10)
    assert budget.used == 0


async def test_small_one_does_not_overtake_a_large_one() -> None:
    budget = MemoryBudget(10)
    await budget.take(8, LONG)
    order = []

    async def take(name: str, size: int) -> None:
        await budget.take(size, LONG)
        order.append(name)

    tasks = [asyncio.create_task(take("large", 9)), asyncio.create_task(take("small", 1))]
    await turn()
    assert order == []
    budget.give(8)
    await asyncio.gather(*tasks)
    assert order == ["large", "small"]


async def test_more_than_there_is_takes_all_and_gives_all() -> None:
    budget = MemoryBudget(10)
    await budget.take(1000, LONG)
    assert budget.used == 10
    budget.give(1000)
    assert budget.used == 0


async def test_who_gives_up_lets_the_next_one_through() -> None:
    budget = MemoryBudget(10)
    await budget.take(5, LONG)
    large = asyncio.create_task(budget.take(9, LONG))
    await turn()
    small = asyncio.create_task(budget.take(5, LONG))
    await turn()
    large.cancel()
    await small
    assert large.cancelled()
    assert budget.used == 10


async def test_cancelled_in_the_moment_of_its_turn_gives_it_back() -> None:
    budget = MemoryBudget(10)
    await budget.take(10, LONG)
    waiting = asyncio.create_task(budget.take(10, LONG))
    await turn()
    budget.give(10)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert budget.used == 0


async def test_bytes_that_come_free_just_after_the_cancellation() -> None:
    budget = MemoryBudget(10)
    await budget.take(10, LONG)
    waiting = asyncio.create_task(budget.take(10, LONG))
    await turn()
    waiting.cancel()
    budget.give(10)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert budget.used == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from("tgct")), max_size=30))
def test_budget_is_never_exceeded_and_all_of_it_comes_back(steps: list[tuple[int, str]]) -> None:
    async def play() -> None:
        budget = MemoryBudget(10)
        tasks: list[tuple[int, asyncio.Task[None]]] = []
        held: list[int] = []
        for size, what in steps:
            if what == "g" and held:
                budget.give(held.pop(0))
            elif what == "c" and tasks:
                tasks[size % len(tasks)][1].cancel()
            elif what == "t":
                tasks.append((size, asyncio.create_task(budget.take(size, LONG))))
            if size % 3:
                await turn()
            ended = [each for each in tasks if each[1].done()]
            tasks = [each for each in tasks if not each[1].done()]
            held += [size for size, task in ended if not task.cancelled()]
            assert 0 <= budget.used <= 10
        for _, task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*(task for _, task in tasks), return_exceptions=True)
        held += [size for (size, _), each in zip(tasks, outcomes, strict=True) if each is None]
        for size in held:
            budget.give(size)
        assert budget.used == 0

    asyncio.run(play())


def manifest(size: int, name: str) -> Manifest:
    return Manifest(Digest.of(name.encode()), "", b"x" * size)


def test_oldest_manifests_leave_the_cache() -> None:
    cache = ManifestCache(100)
    manifests = [manifest(40, str(number)) for number in range(4)]
    for each in manifests:
        cache.add(each)
        cache.add(each)
    kept = [cache.get(each.digest) for each in manifests]
    assert kept == [None, None, manifests[2], manifests[3]]


def test_manifest_larger_than_the_cache_throws_nobody_out() -> None:
    cache = ManifestCache(100)
    small, large = manifest(90, "small"), manifest(101, "large")
    cache.add(small)
    cache.add(large)
    assert cache.get(small.digest) == small
    assert cache.get(large.digest) is None
