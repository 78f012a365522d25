"""The containerd store on real containerds: what is committed, labelled, deleted and renamed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.store.containerd import ContainerdStore
from mirror.store.port import Change, ContentAdded
from tests.cluster.conftest import Cluster, Push
from tests.cluster.containerd import Build, Containerd, newest
from tests.cluster.content import SOURCE, ContentDriver
from tests.cluster.image import random_layer
from tests.mirror.store.conformance import check_store, eventually, running

pytestmark = pytest.mark.cluster


@pytest.fixture
def containerd(cluster: Cluster, build: Build) -> Containerd:
    [node] = cluster.make(1, build)
    node.containerd.use_registry_directly()
    node.containerd.start()
    return node.containerd


@pytest.fixture
async def driver(containerd: Containerd) -> AsyncIterator[ContentDriver]:
    async with ContentDriver(containerd.socket) as driver:
        yield driver


@pytest.fixture
def store(containerd: Containerd) -> ContainerdStore:
    return ContainerdStore(containerd.socket)


async def test_it_conforms(store: ContainerdStore, driver: ContentDriver) -> None:
    await check_store(store, driver)


async def test_it_conforms_without_access_to_the_folder(
    store: ContainerdStore, driver: ContentDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a container that mounts the socket and not the content store.
    monkeypatch.setattr("mirror.store.folder.BlobFolder.readable", lambda _: False)
    monkeypatch.setattr("mirror.store.containerd_session._POLL", 0.2)
    await check_store(store, driver)


async def test_a_pull_is_listed_with_its_registry(
    store: ContainerdStore, containerd: Containerd, push: Push
) -> None:
    image = push("listed", [random_layer(1, "listed"), random_layer(9, "listed too")])
    async with running(store):
        await asyncio.to_thread(containerd.cri.pull, image)
        await eventually(lambda: all(_registries(store, d) for d in image.blobs), "all labelled")
        assert {content.digest for content in store.contents()} == set(image.blobs)
        assert all(_registries(store, digest) == {"reg.test"} for digest in image.blobs)
        assert list(store.names()) == [(image.reference, image.manifest)]

        await asyncio.to_thread(containerd.cri.remove, image)
        await eventually(lambda: not list(store.contents()), "all collected")
        assert list(store.names()) == []


async def test_content_of_another_namespace_is_not_listed(
    store: ContainerdStore, containerd: Containerd, driver: ContentDriver
) -> None:
    async with ContentDriver(containerd.socket, "moby") as other, running(store):
        foreign = await other.commit(b"foreign")
        own = await driver.commit(b"own")
        await eventually(lambda: store.find(own) is not None, "ours is listed")
        await asyncio.sleep(0.3)
        assert store.find(foreign) is None
        with pytest.raises(NotHere):
            store.open(foreign)


async def test_a_late_label_is_learned(store: ContainerdStore, containerd: Containerd) -> None:
    async with ContentDriver(containerd.socket, label_after=0.5) as driver, running(store):
        changes: list[Change] = []
        store.subscribe(changes.append)
        await driver.add(b"late", "ghcr.io")
        digest = Digest.of(b"late")
        await eventually(lambda: _registries(store, digest) == {"ghcr.io"}, "labelled")
    told = [change.content.registries for change in changes if isinstance(change, ContentAdded)]
    assert told == [frozenset(), {"ghcr.io"}]


async def test_expected_content_has_its_registry_from_the_commit_on(
    store: ContainerdStore, containerd: Containerd
) -> None:
    async with ContentDriver(containerd.socket, label_after=0.3) as driver, running(store):
        changes: list[Change] = []
        store.subscribe(changes.append)
        store.expect(Digest.of(b"expected"), "reg.test:5000")
        await driver.add(b"expected", "reg.test")
        await asyncio.sleep(0.5)
    told = [change.content.registries for change in changes if isinstance(change, ContentAdded)]
    assert told == [{"reg.test"}]


async def test_labels_that_an_import_sets_are_learned_with_its_image(
    store: ContainerdStore, driver: ContentDriver
) -> None:
    digest = await driver.commit(b"imported long ago")
    async with running(store):
        await asyncio.sleep(1.5)  # past the comparison that follows the start
        await driver.label(digest, {f"{SOURCE}docker.io": "library/old"})
        await driver.set_name("docker.io/library/old:1", digest)
        await eventually(lambda: _registries(store, digest) == {"docker.io"}, "labelled")


async def test_refresh_learns_of_labels_at_once(
    store: ContainerdStore, driver: ContentDriver
) -> None:
    digest = await driver.commit(b"labelled by hand")
    async with running(store):
        await driver.label(digest, {f"{SOURCE}docker.io": "library/old"})
        store.refresh()
        await eventually(lambda: _registries(store, digest) == {"docker.io"}, "labelled")


async def test_only_full_tag_names_are_names(store: ContainerdStore, driver: ContentDriver) -> None:
    digest = await driver.commit(b"named")
    names = ["docker.io/library/a:1", "docker.io/library/a@" + digest, digest, "short:1", "???"]
    for name in names[:-1]:
        await driver.set_name(name, digest)
    async with running(store):
        assert list(store.names()) == [("docker.io/library/a:1", digest)]
        await driver.set_name("docker.io/library/b@" + digest, digest)
        await driver.set_name("docker.io/library/b:1", digest)
        await eventually(lambda: store.resolve("docker.io/library/b:1") == digest, "b:1")
        assert len(list(store.names())) == 2


async def test_a_start_before_containerd_and_a_restart_of_it_are_survived(
    cluster: Cluster, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "spegla.store")
    [node] = cluster.make(1, build)
    containerd = node.containerd
    store = ContainerdStore(containerd.socket)
    async with contextlib.AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        run = group.create_task(store.run())
        stack.callback(run.cancel)
        await asyncio.sleep(1)
        assert not store.ready
        [warning] = _warnings(caplog)
        assert str(containerd.socket) in warning
        assert "No such file" in warning

        await asyncio.to_thread(containerd.start)
        await eventually(lambda: store.ready, "ready")
        async with ContentDriver(containerd.socket) as driver:
            await driver.add(b"kept", "docker.io")
            kept = Digest.of(b"kept")
            await eventually(lambda: bool(_registries(store, kept)), "added")

        await asyncio.to_thread(containerd.daemon.kill)
        await eventually(lambda: not store.ready, "not ready")
        assert store.find(kept) is not None
        with contextlib.closing(store.open(kept)) as blob:
            assert await blob.read(0, 10) == b"kept"

        await asyncio.to_thread(containerd.start)
        async with ContentDriver(containerd.socket) as driver:
            await driver.add(b"while away", "docker.io")
            await eventually(lambda: store.ready, "ready again")
            await driver.remove(kept)
            await eventually(lambda: store.find(kept) is None, "removed")
            await eventually(lambda: len(list(store.contents())) == 1, "resynced")
    assert len(_warnings(caplog)) == 2


async def test_a_hung_containerd_is_noticed_and_its_content_served_on(
    store: ContainerdStore, containerd: Containerd, driver: ContentDriver
) -> None:
    await driver.add(b"here", "docker.io")
    async with running(store):
        containerd.daemon.pause()
        try:
            await eventually(lambda: not store.ready, "the hang is noticed")
            store.open(Digest.of(b"here")).close()
        finally:
            containerd.daemon.resume()
        await eventually(lambda: store.ready, "ready again")


async def test_a_file_that_vanished_is_not_here(
    store: ContainerdStore, containerd: Containerd, driver: ContentDriver
) -> None:
    await driver.add(b"damaged", "docker.io")
    digest = Digest.of(b"damaged")
    async with running(store):
        _path(containerd, digest).write_bytes(b"")
        with pytest.raises(NotHere, match="damaged"):
            store.open(digest)
        assert store.find(digest) is None


async def test_five_thousand_blobs_are_listed_quickly(
    cluster: Cluster, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    [node] = cluster.make(1, build)
    node.containerd.start()
    async with ContentDriver(node.containerd.socket) as driver:
        for start in range(0, 5000, 50):
            datas = [b'{"schemaVersion": 2, "n": %d}' % n for n in range(start, start + 50)]
            await asyncio.gather(*(driver.commit(data) for data in datas))
    store = ContainerdStore(node.containerd.socket)
    start_time = time.monotonic()
    async with running(store):
        took = time.monotonic() - start_time
        assert len(list(store.contents())) == 5000
    with capsys.disabled():
        print(f"\n5,000 blobs listed in {took:.2f} s (containerd {build})")
    assert took < 10


async def test_a_burst_beyond_the_kernels_queue_is_caught_up(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = Path("/proc/sys/fs/inotify/max_queued_events")
    before = limit.read_text()
    try:
        limit.write_text("8")
    except OSError:
        pytest.skip("may not change fs.inotify.max_queued_events")
    try:
        [node] = cluster.make(1, newest())
        node.containerd.start()
        store = ContainerdStore(node.containerd.socket)
        async with ContentDriver(node.containerd.socket) as driver, running(store):
            blocked = asyncio.get_running_loop()
            await driver.commit(b"first")
            datas = [b"burst %d" % n for n in range(100)]

            def commit_all() -> None:
                asyncio.run(_commit_all(node.containerd.socket, datas))

            thread = asyncio.to_thread(commit_all)
            task = blocked.create_task(thread)
            await asyncio.sleep(0)
            time.sleep(0.5)  # noqa: ASYNC251 - the loop is to miss events
            await task
            await eventually(lambda: len(list(store.contents())) == 101, "all are listed")
    finally:
        limit.write_text(before)


async def _commit_all(socket: Path, datas: list[bytes]) -> None:
    async with ContentDriver(socket) as driver:
        await asyncio.gather(*(driver.commit(data) for data in datas))


def _registries(store: ContainerdStore, digest: Digest) -> frozenset[str]:
    content = store.find(digest)
    return frozenset() if content is None else content.registries


def _path(containerd: Containerd, digest: Digest) -> Path:
    return containerd.content / "blobs/sha256" / digest.hex


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
