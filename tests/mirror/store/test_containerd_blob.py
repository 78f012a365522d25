from __future__ import annotations

import json

import pytest

from mirror.oci.digest import Digest
from mirror.oci.media import MAX_MANIFEST_BYTES, OCI_INDEX
from mirror.store.containerd_blob import RemoteBlob, remote_media_type

INDEX = json.dumps({"schemaVersion": 2, "manifests": [], "x": "y" * 10_000}).encode()


class Reader:
    """Reads as containerd does, which refuses offsets past the end; counts the bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.read = 0

    async def __call__(self, digest: Digest, offset: int, length: int) -> bytes:
        assert digest == Digest.of(self._data)
        assert 0 <= offset <= len(self._data)
        assert length > 0
        part = self._data[offset : offset + length]
        self.read += len(part)
        return part


async def test_only_what_exists_is_asked_for() -> None:
    reader = Reader(b"0123456789")
    blob = RemoteBlob(Digest.of(b"0123456789"), 10, reader)
    assert await blob.read(8, 100) == b"89"
    assert await blob.read(10, 1) == b""
    assert await blob.read(99, 1) == b""
    assert blob.fileno() is None
    blob.close()
    with pytest.raises(OSError, match="closed"):
        await blob.read(0, 1)


async def test_manifest_is_read_as_a_whole_to_be_recognised() -> None:
    reader = Reader(INDEX)
    assert await remote_media_type(Digest.of(INDEX), len(INDEX), reader) == OCI_INDEX
    assert reader.read == len(INDEX)


async def test_of_other_content_little_is_read() -> None:
    layer = b"\x1f\x8b" * 100_000
    reader = Reader(layer)
    assert await remote_media_type(Digest.of(layer), len(layer), reader) == ""
    assert reader.read <= 4096
    assert await remote_media_type(Digest.of(layer), MAX_MANIFEST_BYTES + 1, reader) == ""
    assert reader.read <= 4096
    assert await remote_media_type(Digest.of(b""), 0, Reader(b"")) == ""
