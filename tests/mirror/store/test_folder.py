from __future__ import annotations

import json
from pathlib import Path

import pytest

from mirror.oci.digest import Digest
from mirror.oci.media import MAX_MANIFEST_BYTES, OCI_INDEX
from mirror.store.folder import BlobFolder

INDEX = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
NONE = Digest.of(b"none")


@pytest.fixture
def folder(tmp_path: Path) -> BlobFolder:
    (tmp_path / "root/blobs/sha256").mkdir(parents=True)
    return BlobFolder(tmp_path / "root")


def add(folder: BlobFolder, data: bytes) -> Digest:
    digest = Digest.of(data)
    folder.path(digest).write_bytes(data)
    return digest


def test_size_and_type_are_seen(folder: BlobFolder) -> None:
    index, blob, empty = add(folder, INDEX), add(folder, b"x" * 100), add(folder, b"")
    large = add(folder, INDEX.ljust(MAX_MANIFEST_BYTES + 1))
    assert folder.look_at_all([index, blob, empty, large, NONE]) == {
        index: (len(INDEX), OCI_INDEX),
        blob: (100, ""),
        empty: (0, ""),
        large: (MAX_MANIFEST_BYTES + 1, ""),
    }


def test_folder_in_the_place_of_a_blob_is_not_held(folder: BlobFolder) -> None:
    folder.path(NONE).mkdir()
    assert folder.look(NONE) is None


async def test_content_is_opened(folder: BlobFolder) -> None:
    blob = folder.open(add(folder, b"data"))
    assert await blob.read(0, 10) == b"data"
    blob.close()
    with pytest.raises(FileNotFoundError):
        folder.open(NONE)


def test_folder_that_holds_any_of_the_content_is_the_right_one(folder: BlobFolder) -> None:
    assert folder.holds_some([NONE, add(folder, b"x")])
    assert not folder.holds_some([NONE])


def test_empty_store_may_have_no_folder_yet(tmp_path: Path) -> None:
    assert BlobFolder(tmp_path / "not yet").holds_some([])
    assert not BlobFolder(tmp_path / "not" / "here").holds_some([])
