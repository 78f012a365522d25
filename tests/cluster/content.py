"""Changes a containerd's content the way its clients do, over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from google.protobuf.field_mask_pb2 import FieldMask

from mirror.containerd.api import content_pb2 as content
from mirror.containerd.api import content_pb2_grpc, descriptor_pb2, images_pb2_grpc
from mirror.containerd.api import images_pb2 as images
from mirror.containerd.connection import Connection, ContentNotFound
from mirror.oci.digest import Digest
from mirror.oci.media import OCI_MANIFEST

SOURCE = "containerd.io/distribution.source."
_KEEP = {"containerd.io/gc.root": "test"}
_CHUNK = 1024 * 1024


class ContentDriver:
    """Honours `tests.mirror.store.conformance.Driver` for a real containerd."""

    def __init__(self, socket: Path, namespace: str = "k8s.io", label_after: float = 0.0) -> None:
        """Connects when first used.

        Args:
            socket: containerd's.
            namespace: Where it all happens.
            label_after: Seconds between a commit and the label that tells its registry.
        """
        self._connection = Connection(socket, namespace)
        self._content = content_pb2_grpc.ContentStub(self._connection.channel)
        self._images = images_pb2_grpc.ImagesStub(self._connection.channel)
        self._label_after = label_after

    async def __aenter__(self) -> ContentDriver:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.__aexit__()

    async def add(self, data: bytes, registry: str) -> None:
        """Commits content, then labels it, as a pull does."""
        digest = await self.commit(data)
        await asyncio.sleep(self._label_after)
        await self.label(digest, {f"{SOURCE}{registry}": "some/repository"})

    async def commit(
        self, data: bytes, ref: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Digest:
        """Commits content that the garbage collector leaves alone, with these labels at once."""
        digest = Digest.of(data)
        writer = self._content.Write(
            self._messages(data, digest, ref or f"test-{digest}", {**_KEEP, **(labels or {})}),
            timeout=10,
            metadata=self._connection.metadata,
        )
        with self._connection.translated():
            async for _ in writer:
                pass
        return digest

    async def label(self, digest: Digest, labels: Mapping[str, str]) -> None:
        """Sets labels of content; others stay."""
        request = content.UpdateRequest(
            info=content.Info(digest=digest, labels=labels),
            update_mask=FieldMask(paths=[f"labels.{name}" for name in labels]),
        )
        await self._connection.call(self._content.Update, request)

    async def remove(self, digest: Digest) -> None:
        """Deletes content and has the garbage collector run, which removes the file."""
        request = content.DeleteContentRequest(digest=digest)
        await self._connection.call(self._content.Delete, request)
        await self.set_name("test/collect:1", digest)
        await self.remove_name("test/collect:1")

    async def set_name(self, name: str, digest: Digest) -> None:
        """Creates an image, or changes its target."""
        target = descriptor_pb2.Descriptor(media_type=OCI_MANIFEST, digest=digest, size=1)
        image = images.Image(name=name, target=target)
        try:
            await self._connection.call(
                self._images.Update,
                images.UpdateImageRequest(image=image, update_mask=FieldMask(paths=["target"])),
            )
        except ContentNotFound:
            await self._connection.call(self._images.Create, images.CreateImageRequest(image=image))

    async def remove_name(self, name: str) -> None:
        """Deletes an image and waits for the garbage collector."""
        request = images.DeleteImageRequest(name=name, sync=True)
        await self._connection.call(self._images.Delete, request)

    async def _messages(
        self, data: bytes, digest: Digest, ref: str, labels: Mapping[str, str]
    ) -> AsyncIterator[content.WriteContentRequest]:
        for offset in range(0, len(data), _CHUNK):
            yield content.WriteContentRequest(
                action=content.WRITE,
                ref=ref,
                total=len(data),
                offset=offset,
                data=data[offset : offset + _CHUNK],
            )
        yield content.WriteContentRequest(
            action=content.COMMIT,
            ref=ref,
            total=len(data),
            offset=len(data),
            expected=digest,
            labels=labels,
        )
