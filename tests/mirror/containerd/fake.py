"""A containerd in this process: the few services that the node asks, over a real socket.

It keeps its blobs in a folder laid out as containerd's, and can be late, silent or wrong where
the real one would be only by luck.
"""
# ruff: noqa: N802 - the services' methods are named by their definitions

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
from google.protobuf.empty_pb2 import Empty

from mirror.containerd.api import (
    content_pb2,
    content_pb2_grpc,
    envelope_pb2,
    events_pb2,
    events_pb2_grpc,
    image_events_pb2,
    images_pb2,
    images_pb2_grpc,
    introspection_pb2,
    introspection_pb2_grpc,
    version_pb2,
    version_pb2_grpc,
)
from mirror.oci.digest import Digest

Context = grpc.aio.ServicerContext[object, object]


class FakeContainerd(
    content_pb2_grpc.ContentServicer,
    events_pb2_grpc.EventsServicer,
    introspection_pb2_grpc.IntrospectionServicer,
    version_pb2_grpc.VersionServicer,
):
    """Honours `tests.mirror.store.conformance.Driver` too.

    Attributes:
        socket: Where it listens while `serving`.
        root: Its content store.
        told_root: Where it says that is.
        known: Digest → (size, labels), as its database has it.
        images: Name → target.
        known_after: Seconds from the commit of a file to its entry in the database.
        labelled_after: Seconds from there to its label.
        listing_takes: Seconds between taking a listing of content and sending it.
        silent: Whether it answers nothing any more.
        namespaces: Those that were asked for.
    """

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "containerd.sock"
        self.root = folder / "content"
        self.told_root = self.root
        self.known: dict[str, tuple[int, dict[str, str]]] = {}
        self.images: dict[str, str] = {}
        self.known_after = 0.0
        self.labelled_after = 0.0
        self.listing_takes = 0.0
        self.silent = False
        self.namespaces: set[str] = set()
        self._subscribers: set[asyncio.Queue[envelope_pb2.Envelope]] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[FakeContainerd]:
        """Listens; leaving it is a crash."""
        server = grpc.aio.server()
        content_pb2_grpc.add_ContentServicer_to_server(self, server)
        images_pb2_grpc.add_ImagesServicer_to_server(_Images(self), server)
        events_pb2_grpc.add_EventsServicer_to_server(self, server)
        introspection_pb2_grpc.add_IntrospectionServicer_to_server(self, server)
        version_pb2_grpc.add_VersionServicer_to_server(self, server)
        server.add_insecure_port(f"unix://{self.socket}")
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)

    def path(self, digest: str) -> Path:
        """The file of a blob."""
        return self.root / "blobs/sha256" / digest.removeprefix("sha256:")

    async def add(self, data: bytes, registry: str) -> None:
        """Commits a file, then enters it, then labels it."""
        digest = Digest.of(data)
        self.path(digest).parent.mkdir(parents=True, exist_ok=True)
        (self.root / "data").write_bytes(data)
        (self.root / "data").rename(self.path(digest))
        await asyncio.sleep(self.known_after)
        self.known[digest] = (len(data), {})
        await asyncio.sleep(self.labelled_after)
        self.known[digest] = (len(data), {f"containerd.io/distribution.source.{registry}": "a/b"})

    async def remove(self, digest: Digest) -> None:
        """Collects a blob."""
        del self.known[digest]
        self.path(digest).unlink()

    async def set_name(self, name: str, digest: Digest) -> None:
        """Creates or updates an image."""
        event = image_events_pb2.ImageUpdate(name=name)
        self.images[name] = digest
        self.tell("/images/update", event.SerializeToString())

    async def remove_name(self, name: str) -> None:
        """Deletes an image."""
        del self.images[name]
        event = image_events_pb2.ImageDelete(name=name)
        self.tell("/images/delete", event.SerializeToString())

    def tell(self, topic: str, value: bytes) -> None:
        """Sends an event to all who listen."""
        envelope = envelope_pb2.Envelope(topic=topic, namespace="k8s.io")
        envelope.event.value = value
        for queue in self._subscribers:
            queue.put_nowait(envelope)

    async def Version(self, request: Empty, context: Context) -> version_pb2.VersionResponse:
        await self.answering(context)
        return version_pb2.VersionResponse(version="v0.0-fake")

    async def Plugins(
        self, request: introspection_pb2.PluginsRequest, context: Context
    ) -> introspection_pb2.PluginsResponse:
        plugin = introspection_pb2.Plugin(exports={"root": str(self.told_root)})
        return introspection_pb2.PluginsResponse(plugins=[introspection_pb2.Plugin(), plugin])

    async def Info(
        self, request: content_pb2.InfoRequest, context: Context
    ) -> content_pb2.InfoResponse:
        await self.answering(context)
        if request.digest == Digest.of(b"forbidden"):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for you")
        if request.digest not in self.known:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such content")
        return content_pb2.InfoResponse(info=self._info(request.digest))

    async def List(
        self, request: content_pb2.ListContentRequest, context: Context
    ) -> AsyncIterator[content_pb2.ListContentResponse]:
        await self.answering(context)
        infos = [self._info(digest) for digest in self.known]
        await asyncio.sleep(self.listing_takes)
        for digest in ("sha512:" + "0" * 128, "nonsense", ""):
            yield content_pb2.ListContentResponse(info=[content_pb2.Info(digest=digest, size=4)])
        yield content_pb2.ListContentResponse(info=infos)

    async def Read(
        self, request: content_pb2.ReadContentRequest, context: Context
    ) -> AsyncIterator[content_pb2.ReadContentResponse]:
        await self.answering(context)
        if request.digest not in self.known:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such content")
        if not self.path(request.digest).exists():
            await context.abort(grpc.StatusCode.UNKNOWN, "the database knows it, the disk does not")
        data = self.path(request.digest).read_bytes()[request.offset :][: request.size]
        for offset in range(0, len(data), 100_000):
            yield content_pb2.ReadContentResponse(data=data[offset : offset + 100_000])

    async def Subscribe(
        self, request: events_pb2.SubscribeRequest, context: Context
    ) -> AsyncIterator[envelope_pb2.Envelope]:
        queue = asyncio.Queue[envelope_pb2.Envelope]()
        self._subscribers.add(queue)
        try:
            while (envelope := await queue.get()).topic != "end":
                yield envelope
        finally:
            self._subscribers.discard(queue)

    async def answering(self, context: Context) -> None:
        """Notes who asks; never returns while `silent`."""
        metadata = context.invocation_metadata() or ()
        self.namespaces.add(str(dict(metadata)["containerd-namespace"]))
        while self.silent:  # noqa: ASYNC110 - until the caller gives up
            await asyncio.sleep(0.01)

    def _info(self, digest: str) -> content_pb2.Info:
        size, labels = self.known[digest]
        return content_pb2.Info(digest=digest, size=size, labels=labels)


class _Images(images_pb2_grpc.ImagesServicer):
    """Apart from the others, because content has a method `List` too."""

    def __init__(self, node: FakeContainerd) -> None:
        self._node = node

    async def Get(
        self, request: images_pb2.GetImageRequest, context: Context
    ) -> images_pb2.GetImageResponse:
        await self._node.answering(context)
        if request.name not in self._node.images:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such image")
        return images_pb2.GetImageResponse(image=self._image(request.name))

    async def List(
        self, request: images_pb2.ListImagesRequest, context: Context
    ) -> images_pb2.ListImagesResponse:
        await self._node.answering(context)
        return images_pb2.ListImagesResponse(
            images=[self._image(name) for name in self._node.images]
        )

    def _image(self, name: str) -> images_pb2.Image:
        image = images_pb2.Image(name=name)
        image.target.digest = self._node.images[name]
        return image
