"""The containerd store's ways through trouble; tests/cluster/ has real containerds for the rest."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.store.containerd import ContainerdStore
from mirror.store.port import Change, Content, ContentAdded
from tests.mirror.containerd.fake import FakeContainerd
from tests.mirror.store.conformance import check_store, eventually, running

DATA = b"some content"
DIGEST = Digest.of(DATA)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[FakeContainerd]:
    async with FakeContainerd(tmp_path).serving() as node:
        yield node


def registries_told(changes: list[Change]) -> list[set[str]]:
    return [
        set(change.content.registries) for change in changes if isinstance(change, ContentAdded)
    ]


async def test_it_conforms(node: FakeContainerd) -> None:
    await check_store(ContainerdStore(node.socket), node)


async def test_it_conforms_where_everything_is_late(node: FakeContainerd) -> None:
    node.known_after, node.labelled_after, node.listing_takes = 0.05, 0.1, 0.1
    await check_store(ContainerdStore(node.socket), node)


async def test_label_comes_after_the_listing(node: FakeContainerd) -> None:
    store = ContainerdStore(node.socket)
    node.labelled_after = 0.3
    changes: list[Change] = []
    store.subscribe(changes.append)
    async with running(store):
        await node.add(DATA, "docker.io")
        await eventually(lambda: registries_told(changes) == [set(), {"docker.io"}], "labelled")


async def test_expected_content_is_that_registrys_from_its_commit_on(node: FakeContainerd) -> None:
    store = ContainerdStore(node.socket)
    node.known_after = node.labelled_after = 0.2
    changes: list[Change] = []
    store.subscribe(changes.append)
    async with running(store):
        store.expect(DIGEST, "docker.io")
        async with asyncio.TaskGroup() as group:
            group.create_task(node.add(DATA, "docker.io"))
            await eventually(lambda: store.find(DIGEST) is not None, "it is found")
            assert not node.known
        await asyncio.sleep(0.3)
    assert registries_told(changes) == [{"docker.io"}]


async def test_expectation_that_the_label_contradicts_is_dropped(node: FakeContainerd) -> None:
    store = ContainerdStore(node.socket)
    async with running(store):
        store.expect(DIGEST, "ghcr.io")
        await node.add(DATA, "docker.io")
        wanted = Content(DIGEST, len(DATA), "", frozenset({"docker.io"}))
        await eventually(lambda: store.find(DIGEST) == wanted, "the label wins")


async def test_deletion_during_a_listing_is_not_undone_by_it(node: FakeContainerd) -> None:
    await node.add(DATA, "docker.io")
    store = ContainerdStore(node.socket)
    async with running(store):
        node.listing_takes = 0.3
        store.refresh()
        await asyncio.sleep(0.1)
        await node.remove(DIGEST)
        await eventually(lambda: store.find(DIGEST) is None, "it is gone")
        await asyncio.sleep(0.4)
        assert store.find(DIGEST) is None


async def test_content_that_another_namespace_still_holds_goes_with_its_image(
    node: FakeContainerd,
) -> None:
    await node.add(DATA, "docker.io")
    await node.set_name("docker.io/library/a:1", DIGEST)
    store = ContainerdStore(node.socket)
    async with running(store):
        del node.known[DIGEST]  # the file stays
        await node.remove_name("docker.io/library/a:1")
        await eventually(lambda: store.find(DIGEST) is None, "it is not ours any more")


async def test_vanished_and_damaged_files_are_not_here(node: FakeContainerd) -> None:
    await node.add(DATA, "docker.io")
    await node.add(b"cut short", "docker.io")
    store = ContainerdStore(node.socket)
    async with running(store):
        node.path(Digest.of(b"cut short")).write_bytes(b"cut")
        with pytest.raises(NotHere, match="damaged"):
            store.open(Digest.of(b"cut short"))
        node.path(DIGEST).unlink()
        with pytest.raises(NotHere, match="deleted"):
            store.open(DIGEST)
        assert list(store.contents()) == []


async def test_a_damaged_file_is_not_listed_by_a_later_comparison(
    node: FakeContainerd, caplog: pytest.LogCaptureFixture
) -> None:
    await node.add(b"cut short", "docker.io")
    node.path(Digest.of(b"cut short")).write_bytes(b"cut")
    store = ContainerdStore(node.socket)
    async with running(store):
        assert list(store.contents()) == []
        for data in (b"first", b"second"):
            await node.add(data, "docker.io")
            await node.set_name("docker.io/library/a:1", Digest.of(data))
            await eventually(
                lambda: store.resolve("docker.io/library/a:1") is not None, "the name is known"
            )
            store.refresh()
            await eventually(lambda: store.find(Digest.of(data)) is not None, "found")  # noqa: B023
        assert store.find(Digest.of(b"cut short")) is None
    told = [line for line in caplog.messages if "is damaged (3 bytes instead of 9)" in line]
    assert len(told) == 1


async def test_nothing_is_forgotten_while_containerd_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "spegla.store")
    node = FakeContainerd(tmp_path)
    await node.add(DATA, "docker.io")
    await node.set_name("docker.io/library/a:1", DIGEST)
    store = ContainerdStore(node.socket)
    async with contextlib.AsyncExitStack() as crash:
        await crash.enter_async_context(node.serving())
        async with running(store):
            await crash.aclose()
            await eventually(lambda: not store.ready, "its absence is noticed")
            with contextlib.closing(store.open(DIGEST)) as blob:
                assert await blob.read(0, 100) == DATA
            assert store.resolve("docker.io/library/a:1") == DIGEST
            del node.images["docker.io/library/a:1"]
            await node.add(b"new", "docker.io")
            async with node.serving():
                await eventually(lambda: store.ready, "it is back")
                assert store.resolve("docker.io/library/a:1") is None
                assert store.find(Digest.of(b"new")) is not None
                assert store.find(DIGEST) is not None
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO", "WARNING", "INFO", "INFO"]
    warning, back = caplog.records[1].getMessage(), caplog.records[2].getMessage()
    assert f"check that it runs and that containerd-address is {node.socket}" in warning
    assert back.startswith(f"containerd is back at {node.socket} after ")


async def test_cancelled_while_containerd_goes_away_it_ends(tmp_path: Path) -> None:
    for _ in range(10):
        node = FakeContainerd(tmp_path)
        store = ContainerdStore(node.socket)
        async with node.serving():
            run = asyncio.create_task(store.run())
            await eventually(lambda store=store: store.ready, "ready")  # type: ignore[misc]
        run.cancel()  # its tasks fail at this moment
        async with asyncio.timeout(10):
            await asyncio.wait([run])
        assert run.cancelled()


async def test_events_that_end_cost_no_more_than_a_new_listing(node: FakeContainerd) -> None:
    store = ContainerdStore(node.socket)
    async with running(store):
        await asyncio.sleep(0.1)
        node.tell("end", b"")
        await eventually(lambda: not store.ready, "the stream's end is noticed")
        await eventually(lambda: store.ready, "the store is ready again")


async def test_without_the_folder_bytes_come_through_the_api(
    node: FakeContainerd, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await node.add(DATA, "docker.io")
    await node.add(b"lost", "docker.io")
    node.path(Digest.of(b"lost")).unlink()
    node.told_root = tmp_path / "seen by containerd only"
    with caplog.at_level(logging.WARNING, "spegla.store"):
        store = ContainerdStore(node.socket, poll=0.1)
        async with running(store):
            assert "can't be read from here" in caplog.text
            assert [content.digest for content in store.contents()] == [DIGEST]
            blob = store.open(DIGEST)
            assert blob.fileno() is None
            assert await blob.read(5, 100) == DATA[5:]
            await node.add(b"new", "docker.io")
            await eventually(lambda: store.find(Digest.of(b"new")) is not None, "polled")
            await node.remove(DIGEST)
            with pytest.raises(OSError, match="no such content"):
                await blob.read(0, 1)
        with pytest.raises(OSError, match="is away"):
            await blob.read(0, 1)
