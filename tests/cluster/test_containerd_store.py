"""The containerd store on real containerds: what is committed, labelled, deleted and renamed."""

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
from mirror.store.port import Change, ContentAdded
from tests.cluster.conftest import Cluster, Push
from tests.cluster.containerd import Build, Containerd
from tests.cluster.content import SOURCE, ContentDriver
from tests.cluster.daemon import Daemon
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


async def test_it_conforms_without_access_to_the_folder(cluster: Cluster, build: Build) -> None:
    [node] = cluster.make(1, build)
    node.containerd.root.mkdir()
    # As for an agent in a container that mounts the socket and not the content store.
    node.containerd.daemon = Daemon(
        node.space,
        [
            *("sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(node.containerd.root)),
            *(str(build.folder / "containerd"), "--config"),
            str(node.containerd.root.parent / "config.toml"),
        ],
        node.containerd.daemon.log,
    )
    node.containerd.start()
    store = ContainerdStore(node.containerd.socket, poll=0.2)
    async with ContentDriver(node.containerd.socket) as driver:
        await check_store(store, driver)
    assert list((node.containerd.root).iterdir()) == []


async def test_a_pull_is_listed_with_its_registry(
    store: ContainerdStore, containerd: Containerd, push: Push
) -> None:
    image = push("listed", [random_layer(1, "listed"), random_layer(9, "listed too")])
    async with running(store):
        await asyncio.to_thread(containerd.cri.pull, image)
        await eventually(lambda: all(_registries(store, d) for d in image.blobs), "all labelled")
        assert {content.digest for content in store.contents()} == set(image.blobs)
        assert all(_registries(store, digest) == {"reg.test"} for digest in image.blobs)
        names = [(image.reference, image.manifest)]
        await eventually(lambda: list(store.names()) == names, "its tag is listed")

        await asyncio.to_thread(containerd.cri.remove, image)
        await eventually(lambda: not list(store.contents()), "all collected")
        await eventually(lambda: not list(store.names()), "its tag is gone")


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
        await eventually(lambda: store.resolve("docker.io/library/b:1") == digest, "b:1 is listed")
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


def _registries(store: ContainerdStore, digest: Digest) -> frozenset[str]:
    content = store.find(digest)
    return frozenset() if content is None else content.registries


def _path(containerd: Containerd, digest: Digest) -> Path:
    return containerd.content / "blobs/sha256" / digest.hex


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
