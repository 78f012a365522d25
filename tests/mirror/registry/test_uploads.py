"""Slots for bodies to other nodes."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from mirror.oci.digest import Digest
from mirror.oci.errors import TooManyRequests
from mirror.oci.ranges import Span
from mirror.registry.uploads import Uploads
from mirror.store.memory import MemoryStore
from mirror.transfer.client import Busy
from mirror.transfer.wanted import Kind, Wanted
from tests.mirror.loopback import loopback

DATA = bytes(range(256)) * 1000


def wanted(data: bytes) -> Wanted:
    return Wanted(Kind.BLOB, "docker.io", "library/x", Digest.of(data), None)


def test_full_is_503_with_retry_after() -> None:
    uploads = Uploads(lambda: False, 1)
    with uploads.slot(), pytest.raises(TooManyRequests) as refused, uploads.slot():
        pass
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
    with uploads.slot():
        assert uploads.running == 1


def test_fewer_slots_under_pressure_but_never_none() -> None:
    uploads = Uploads(lambda: True, 32)
    with ExitStack() as taken:
        for _ in range(4):
            taken.enter_context(uploads.slot())
        with pytest.raises(TooManyRequests), uploads.slot():
            pass


async def test_small_bodies_need_no_slot_and_large_ones_do() -> None:
    async with loopback() as cluster:
        store = MemoryStore(ready=True)
        small, large = store.add(b"small"), store.add(DATA)
        holder = await cluster.node(store, slots=0)
        asker = await cluster.node()
        response = await asker.client.ask(holder.address, wanted(b"small"))
        response.close()
        with pytest.raises(Busy) as busy:
            await asker.client.ask(holder.address, wanted(DATA), span=Span(0, len(DATA)))
        assert busy.value.retry_after == 1.0
        assert asker.client.book.usable(holder.address, large, asker.client.clock())
        assert small


async def test_busy_holder_is_asked_again_rather_than_the_upstream() -> None:
    async with loopback() as cluster:
        store = MemoryStore(ready=True)
        data = bytes(32 * 1024 * 1024)  # more than sockets take, so that it keeps its slot
        digest = store.add(data)
        holder = await cluster.node(store, slots=1)
        asker = await cluster.node()
        cluster.network.known_holders[digest] = [holder.address]
        first = await asker.client.ask(holder.address, wanted(data))
        waiting = asyncio.create_task(asker.remote.blob(wanted(data), None))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        first.close()
        found = await waiting
        assert found.span == Span(0, len(data))
        found.release()
