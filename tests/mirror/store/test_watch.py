from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mirror.oci.digest import Digest
from mirror.store.watch import Committed, Deleted, FolderChange, FolderWatch, Missed

A, B = Digest.of(b"a"), Digest.of(b"b")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "content"
    (root / "blobs/sha256").mkdir(parents=True)
    (root / "ingest").mkdir()
    return root


def commit(root: Path, digest: Digest) -> None:
    (root / "data").write_bytes(b"x")
    (root / "data").rename(root / "blobs/sha256" / digest.hex)


async def take(changes: AsyncIterator[FolderChange], count: int) -> list[FolderChange]:
    async with asyncio.timeout(10):
        return [await anext(changes) for _ in range(count)]


async def test_commit_and_deletion_are_told(root: Path) -> None:
    commit(root, A)
    with FolderWatch(root) as watch:
        changes = aiter(watch)
        commit(root, B)
        (root / "blobs/sha256" / A.hex).unlink()
        assert await take(changes, 2) == [Committed(B), Deleted(A)]


async def test_files_that_are_no_digest_are_passed_over(root: Path) -> None:
    with FolderWatch(root) as watch:
        changes = aiter(watch)
        for name in ("note.txt", "ABC", "sha256:" + A.hex, A.hex + "x"):
            (root / "blobs/sha256" / name).write_bytes(b"")
        commit(root, A)
        assert await take(changes, 1) == [Committed(A)]


@pytest.mark.parametrize("missing", ["content/blobs/sha256", "content/blobs", "content"])
async def test_folder_that_comes_later_is_watched(tmp_path: Path, missing: str) -> None:
    (tmp_path / missing).parent.mkdir(parents=True, exist_ok=True)
    root = tmp_path / "content"
    with FolderWatch(root) as watch:
        changes = aiter(watch)
        (root / "blobs/sha256").mkdir(parents=True)
        commit(root, A)  # before it can be watched
        assert Committed(A) in await _until(changes, Committed(A))
        commit(root, B)
        assert Committed(B) in await _until(changes, Committed(B))


async def test_folder_that_was_emptied_and_made_anew_is_watched(root: Path) -> None:
    with FolderWatch(root) as watch:
        changes = aiter(watch)
        commit(root, A)
        (root / "blobs/sha256" / A.hex).unlink()
        (root / "blobs/sha256").rmdir()
        assert await take(changes, 3) == [Committed(A), Deleted(A), Missed()]
        (root / "blobs/sha256").mkdir()
        commit(root, B)
        assert Committed(B) in await _until(changes, Committed(B))


async def test_dropped_events_are_told(root: Path) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip(f"fs.inotify.max_queued_events is {limit}")
    with FolderWatch(root) as watch:
        changes = aiter(watch)
        for _ in range(limit // 2 + 1):
            commit(root, A)
            (root / "blobs/sha256" / A.hex).unlink()
        assert Missed() in await _until(changes, Missed())


def test_nothing_to_watch_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FolderWatch(tmp_path / "not" / "here")


async def _until(changes: AsyncIterator[FolderChange], last: FolderChange) -> list[FolderChange]:
    found = []
    async with asyncio.timeout(10):
        async for change in changes:
            found.append(change)
            if change == last:
                break
    return found
