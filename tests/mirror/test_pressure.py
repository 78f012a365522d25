"""Memory pressure begins at the limit and ends below it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.pressure import MemoryPressure
from mirror.store.memory import MemoryStore
from mirror.transfer.wanted import Kind, Wanted
from tests.mirror.loopback import loopback

MIB = 1024 * 1024


def test_begins_above_the_limit_and_ends_below_95_percent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pressure = MemoryPressure(100 * MIB)
    seen = []
    for resident in (90, 101, 99, 96, 94, 99):
        pressure.look(resident * MIB)
        seen.append(pressure())
    assert seen == [False, True, True, True, False, False]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_run_looks_at_this_process() -> None:
    pressure = MemoryPressure(1 * MIB)
    task = asyncio.create_task(pressure.run())
    await asyncio.sleep(0.05)
    assert pressure()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_under_pressure_the_third_large_relay_is_left_to_the_upstream() -> None:
    data = bytes(9 * MIB)
    async with loopback() as cluster:
        store = MemoryStore(ready=True)
        digest = store.add(data)
        holder = await cluster.node(store)
        asker = await cluster.node(under_pressure=lambda: True)
        cluster.network.known_holders[digest] = [holder.address]
        wanted = Wanted(Kind.BLOB, "docker.io", "library/x", Digest.of(data), None)
        running = [await asker.remote.blob(wanted, None) for _ in range(2)]
        with pytest.raises(NotHere, match="too little memory"):
            await asker.remote.blob(wanted, None)
        for found in running:
            found.release()
