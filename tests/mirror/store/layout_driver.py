"""Changes a layout store: by its write side where it has one, else as another tool would."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.media import OCI_MANIFEST
from mirror.store.image_index import REF_NAME, ImageIndex
from mirror.store.journal import Journal
from mirror.store.layout import LayoutStore
from mirror.store.port import Content
from mirror.store.recognise import media_type


async def put(store: LayoutStore, data: bytes, registry: str = "docker.io") -> Content:
    async with await store.ingest(Digest.of(data), len(data)) as ingest:
        await ingest.write(data)
        return await ingest.commit(media_type(data), registry)


class LayoutDriver:
    """Honours `tests.mirror.store.conformance.Driver`."""

    def __init__(self, store: LayoutStore, root: Path) -> None:
        self._store = store
        self._root = root

    def path(self, digest: Digest) -> Path:
        return self._root / "blobs" / "sha256" / digest.hex

    def drop(self, data: bytes) -> Digest:
        """Puts a blob there as skopeo does: a temporary file, then a rename."""
        digest = Digest.of(data)
        self.path(digest).parent.mkdir(parents=True, exist_ok=True)
        temporary = self._root / "oci-put-blob1"
        temporary.write_bytes(data)
        temporary.rename(self.path(digest))
        return digest

    async def add(self, data: bytes, registry: str) -> None:
        if self._store.ready:
            await put(self._store, data, registry)
            return
        digest = self.drop(data)
        noted = Content(digest, len(data), media_type(data), frozenset({registry}))
        await asyncio.to_thread(Journal(self._root / "content.jsonl").note, [noted])

    async def remove(self, digest: Digest) -> None:
        self.path(digest).unlink()

    async def set_name(self, name: str, digest: Digest) -> None:
        if self._store.ready:
            await self._store.tag(name, digest)
        else:
            self.write_name(name, digest)

    def write_name(self, name: str, digest: Digest) -> None:
        size = self.path(digest).stat().st_size
        self._write(self._read().with_name(name, Descriptor(digest, size, OCI_MANIFEST)))

    async def remove_name(self, name: str) -> None:
        entries = self._read().document["manifests"]
        kept = [e for e in entries if e.get("annotations", {}).get(REF_NAME) != name]
        self._write(ImageIndex({"schemaVersion": 2, "manifests": kept}))

    def _read(self) -> ImageIndex:
        path = self._root / "index.json"
        return ImageIndex.parse(path.read_bytes()) if path.exists() else ImageIndex.empty()

    def _write(self, index: ImageIndex) -> None:
        (self._root / "index.json").write_text(json.dumps(index.document))
