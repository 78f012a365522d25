from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from mirror.store.file import FileBlob

DATA = bytes(range(256)) * 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "blob"
    path.write_bytes(DATA)
    return path


async def test_any_part_can_be_read(path: Path) -> None:
    blob = FileBlob(path)
    assert blob.size == len(DATA)
    assert await blob.read(0, len(DATA)) == DATA
    assert await blob.read(5, 7) == DATA[5:12]
    assert await blob.read(len(DATA) - 1, 10) == DATA[-1:]
    assert await blob.read(len(DATA), 10) == b""
    blob.close()


async def test_what_is_not_in_the_page_cache_is_read_too(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    blob = FileBlob(path)
    assert await blob.read(100, 500_000) == DATA[100:500_100]
    blob.close()


async def test_deleted_file_stays_readable(path: Path) -> None:
    blob = FileBlob(path)
    path.unlink()
    assert await blob.read(0, len(DATA)) == DATA
    blob.close()


async def test_shrunk_file_ends_early(path: Path) -> None:
    blob = FileBlob(path)
    os.truncate(path, 1000)
    assert await blob.read(0, 2000) == DATA[:1000]
    blob.close()


async def test_closing_during_a_read_harms_nobody(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    blob = FileBlob(path)
    read = asyncio.create_task(blob.read(0, len(DATA)))
    await asyncio.sleep(0)
    blob.close()
    assert await read == DATA


async def test_closed_blob_has_no_descriptor(path: Path) -> None:
    blob = FileBlob(path)
    assert blob.fileno() is not None
    blob.close()
    blob.close()
    assert blob.fileno() is None
    with pytest.raises(OSError, match="descriptor"):
        await blob.read(0, 1)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileBlob(tmp_path / "none")


def test_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic"):
        FileBlob(tmp_path / "link")


def test_forgotten_blob_gives_its_descriptor_back(path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        FileBlob(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
