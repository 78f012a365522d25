from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from mirror.errors import NotHere, SetupError
from mirror.oci.digest import Digest
from mirror.oci.media import OCI_MANIFEST
from mirror.store.image_index import REF_NAME
from mirror.store.ingest import DigestMismatch, IngestRunning
from mirror.store.layout import LayoutStore
from mirror.store.port import Change, ContentAdded, NameSet, Store
from tests.mirror.sample import Sample, make_sample
from tests.mirror.store.conformance import check_store, eventually, running
from tests.mirror.store.layout_driver import LayoutDriver, put

NAME = "docker.io/library/sample:1"


@pytest.fixture(autouse=True)
def _nothing_blocks() -> Iterator[None]:
    with blockbuster_ctx("mirror"):
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "layout"
    root.mkdir()
    return root


@pytest.fixture
def store(root: Path) -> LayoutStore:
    return LayoutStore(root, look_again=0.05)


@pytest.fixture
def driver(store: LayoutStore, root: Path) -> LayoutDriver:
    return LayoutDriver(store, root)


@pytest.fixture
async def live(store: LayoutStore) -> AsyncIterator[LayoutStore]:
    async with running(store):
        yield store


def left_over(root: Path) -> list[Path]:
    return list((root / "ingest").iterdir())


async def put_sample(store: LayoutStore, sample: Sample) -> None:
    for data in (sample.config, sample.layer, sample.manifest):
        await put(store, data)
    await store.tag(NAME, sample.digest)


async def test_it_conforms(store: LayoutStore, driver: LayoutDriver) -> None:
    port: Store = store
    await check_store(port, driver)


async def test_all_is_there_after_a_restart(live: LayoutStore, root: Path) -> None:
    sample = make_sample()
    await put_sample(live, sample)
    again = LayoutStore(root.with_name("moved"))
    await asyncio.to_thread(shutil.copytree, root, root.with_name("moved"))
    async with running(again):
        assert again.resolve(NAME) == sample.digest
        assert set(again.contents()) == set(live.contents())
        found = again.find(sample.digest)
        assert found is not None
        assert found.media_type == OCI_MANIFEST
        assert found.registries == {"docker.io"}


async def test_skopeo_reads_what_was_written(live: LayoutStore, root: Path) -> None:
    await put_sample(live, make_sample())
    seen = await asyncio.to_thread(skopeo, "inspect", f"oci:{root}:{NAME}")
    assert json.loads(seen)["Architecture"] == "amd64"


async def test_what_skopeo_writes_shows(live: LayoutStore, root: Path) -> None:
    source = LayoutStore(root.with_name("source"))
    sample = make_sample()
    async with running(source):
        await put_sample(source, sample)
    name = "ghcr.io/team/app:v2"
    await asyncio.to_thread(skopeo, "copy", f"oci:{root}/../source:{NAME}", f"oci:{root}:{name}")
    await eventually(lambda: live.resolve(name) == sample.digest, "the name shows")
    for data in (sample.manifest, *sample.blobs):
        digest = Digest.of(data)

        def known(digest: Digest = digest) -> bool:
            found = live.find(digest)
            return found is not None and found.registries == {"ghcr.io"}

        await eventually(known, "its registry is known by the name that reaches it")


async def test_foreign_content_is_verified_before_it_shows(
    store: LayoutStore, driver: LayoutDriver, caplog: pytest.LogCaptureFixture
) -> None:
    good = driver.drop(b"good")
    forged, linked = Digest.of(b"what it should be"), Digest.of(b"root:x:0")
    driver.path(forged).write_bytes(b"what it is")
    driver.path(linked).symlink_to("/etc/passwd")
    driver.path(good).with_name("oci-put-blob123").write_bytes(b"")
    driver.path(good).with_name("A" * 64).write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        async with running(store):
            assert [content.digest for content in store.contents()] == [good]
            late = Digest.of(b"late")
            driver.path(late).write_bytes(b"forged, while it runs")
            marker = driver.drop(b"marker")
            await eventually(lambda: store.find(marker) is not None, "the marker shows")
            assert store.find(late) is None
            driver.path(late).write_bytes(b"late")
            await eventually(lambda: store.find(late) is not None, "mended content shows")
    assert f"{forged.hex} is damaged" in caplog.text


async def test_lost_journal_is_rebuilt_from_content_and_names(
    live: LayoutStore, root: Path
) -> None:
    sample = make_sample()
    await put_sample(live, sample)
    copy = root.with_name("copy")
    await asyncio.to_thread(shutil.copytree, root, copy)
    (copy / "content.jsonl").write_bytes(b"\0" * 4096)
    again = LayoutStore(copy)
    async with running(again):
        assert set(again.contents()) == set(live.contents())
    assert (copy / "content.jsonl").read_bytes().count(b"\n") == 3


async def test_damaged_index_is_put_aside_and_content_stays(
    store: LayoutStore, driver: LayoutDriver, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    digest = driver.drop(b"x")
    (root / "index.json").write_bytes(b'{"manifests": [')
    async with running(store):
        assert store.find(digest) is not None
        await store.tag(NAME, digest)
    assert (root / "index.damaged").exists()
    assert "lost their names" in caplog.text


async def test_index_that_is_damaged_while_it_runs_keeps_the_names(
    live: LayoutStore, driver: LayoutDriver, root: Path
) -> None:
    digest = (await put(live, b"x")).digest
    await live.tag(NAME, digest)
    whole = (root / "index.json").read_bytes()
    (root / "index.json").write_bytes(b"{")
    marker = driver.drop(b"marker")
    await eventually(lambda: live.find(marker) is not None, "the marker shows")
    assert live.resolve(NAME) == digest
    (root / "index.json").write_bytes(whole)


async def test_left_over_ingests_are_removed_at_start(store: LayoutStore, root: Path) -> None:
    (root / "ingest").mkdir()
    (root / "ingest" / ("a" * 64 + ".1")).write_bytes(b"half a bl")
    async with running(store):
        assert left_over(root) == []
        assert list(store.contents()) == []


async def test_content_cut_short_by_a_crash_does_not_show(
    store: LayoutStore, driver: LayoutDriver
) -> None:
    await driver.add(b"a whole blob", "docker.io")
    driver.path(Digest.of(b"a whole blob")).write_bytes(b"a whole")
    async with running(store):
        assert list(store.contents()) == []


async def test_two_nodes_can_not_share_a_folder(live: LayoutStore, root: Path) -> None:
    assert live.ready
    with pytest.raises(SetupError, match="another spegla"):
        await LayoutStore(root).run()


async def test_store_survives_its_folder(
    store: LayoutStore, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root.rmdir()
    root.write_bytes(b"a file is in the way")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(store.run())
        await eventually(lambda: "can't be used" in caplog.text, "it says so")
        with pytest.raises(OSError, match="not ready"):
            await store.ingest(Digest.of(b""), 0)
        root.unlink()
        await eventually(lambda: store.ready, "it starts")
        content = await put(store, b"x")
        root.rename(root.with_name("elsewhere"))
        await eventually(lambda: "folder was removed" in caplog.text, "it notices")
        await eventually(lambda: store.ready, "it starts again")
        assert store.find(content.digest) is None
        await put(store, b"y")
        task.cancel()


async def test_names_of_content_not_held_are_refused(live: LayoutStore) -> None:
    with pytest.raises(NotHere):
        await live.tag(NAME, Digest.of(b"nowhere"))
    with pytest.raises(NotHere):
        await live.add_registry(Digest.of(b"nowhere"), "docker.io")


async def test_tagging_tells_once(live: LayoutStore) -> None:
    digest = (await put(live, b"x", "reg:5000")).digest
    changes: list[Change] = []
    live.subscribe(changes.append)
    await asyncio.gather(live.tag(NAME, digest), live.tag(NAME, digest))
    await live.add_registry(digest, "docker.io")
    content = live.find(digest)
    assert content is not None
    assert content.registries == {"reg", "docker.io"}
    assert changes == [NameSet(NAME, digest), ContentAdded(content)]


async def test_many_names_are_set_at_once(live: LayoutStore, root: Path) -> None:
    digest = (await put(live, b"x")).digest
    names = [f"docker.io/library/sample:{number}" for number in range(20)]
    await asyncio.gather(*(live.tag(name, digest) for name in names))
    entries = json.loads((root / "index.json").read_bytes())["manifests"]
    assert sorted(entry["annotations"][REF_NAME] for entry in entries) == sorted(names)


async def test_content_changed_behind_our_back_is_not_opened(
    live: LayoutStore, driver: LayoutDriver
) -> None:
    digest = (await put(live, b"12345")).digest
    os.truncate(driver.path(digest), 3)
    with pytest.raises(NotHere):
        live.open(digest)


async def test_wrong_bytes_leave_nothing(live: LayoutStore, root: Path) -> None:
    digest = Digest.of(b"right")
    async with await live.ingest(digest, 5) as ingest:
        await ingest.write(b"wrong")
        with pytest.raises(DigestMismatch):
            await ingest.commit("", "docker.io")
    assert live.find(digest) is None
    assert live.growing(digest) is None
    assert left_over(root) == []


async def test_one_ingest_per_digest(live: LayoutStore, root: Path) -> None:
    digest = Digest.of(b"x")
    asked = [live.ingest(digest, 1), live.ingest(digest, 1)]
    one, two = await asyncio.gather(*asked, return_exceptions=True)
    [ingest] = [each for each in (one, two) if not isinstance(each, BaseException)]
    [refused] = [each for each in (one, two) if isinstance(each, BaseException)]
    assert isinstance(refused, IngestRunning)
    assert live.growing(digest) is ingest
    await ingest.abort()
    assert left_over(root) == []


async def test_blob_that_will_not_fit_is_refused_at_once(live: LayoutStore, root: Path) -> None:
    with pytest.raises(OSError, match="no space"):
        await live.ingest(Digest.of(b"x"), 1 << 60)
    assert left_over(root) == []


async def test_disk_that_fills_up_leaves_nothing_half_written(
    live: LayoutStore, root: Path
) -> None:
    data = bytes(4 * 1024 * 1024)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024 + 17, limits[1]))
    try:
        async with await live.ingest(Digest.of(data), len(data)) as ingest:
            with pytest.raises(OSError, match="too large"):
                await ingest.write(data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert left_over(root) == []
    assert list(live.contents()) == []
    await put(live, data)


@pytest.fixture
def small_file_system(tmp_path: Path) -> Iterator[Path]:
    """One of 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


async def test_full_file_system_keeps_the_store_whole(small_file_system: Path) -> None:
    root = small_file_system
    filler = root / "filler"
    store = LayoutStore(root)
    async with running(store):
        kept = await put(store, bytes(500_000))
        data = bytes(2_000_000)
        async with await store.ingest(Digest.of(data), None) as ingest:
            with pytest.raises(OSError, match="No space"):
                await ingest.write(data)
        assert left_over(root) == []
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(data)
        with pytest.raises(OSError, match="No space"):
            await store.tag(NAME, kept.digest)
        assert store.resolve(NAME) is None
    again = LayoutStore(root)
    async with running(again):
        assert list(again.contents()) == [kept]
        filler.unlink()
        await again.tag(NAME, kept.digest)


WITHOUT_INOTIFY = """
import asyncio, pathlib, sys
from mirror.store.layout import LayoutStore
from tests.mirror.store.conformance import eventually, running
from tests.mirror.store.layout_driver import LayoutDriver

async def main(root):
    store = LayoutStore(root, look_again=0.05)
    async with running(store):
        digest = LayoutDriver(store, root).drop(b"x")
        await eventually(lambda: store.find(digest) is not None, "it shows")
        LayoutDriver(store, root).path(digest).unlink()
        await eventually(lambda: store.find(digest) is None, "it goes")

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


async def test_without_inotify_it_looks_again_and_again(root: Path) -> None:
    # A user namespace has limits of its own, so that no other process feels this one.
    limited = 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"'
    unshare = ("unshare", "--user", "--map-root-user")
    probe = await asyncio.create_subprocess_exec(*unshare, "sh", "-c", limited, "sh", "true")
    if await probe.wait() != 0:
        pytest.skip("user namespaces are not allowed here")
    process = await asyncio.create_subprocess_exec(
        *unshare, "sh", "-c", limited, "sh", sys.executable, "-c", WITHOUT_INOTIFY, str(root),
        stderr=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert b"instead of watching it" in errors


def skopeo(*arguments: str) -> str:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    done = subprocess.run(["skopeo", *arguments], check=True, capture_output=True, text=True)
    return done.stdout
