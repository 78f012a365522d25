"""containerd's image service: names and what they point to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mirror.containerd.api import images_pb2, images_pb2_grpc
from mirror.containerd.connection import Connection, ContentNotFound
from mirror.oci.digest import Digest, InvalidDigest


@dataclass(frozen=True, slots=True)
class Image:
    """An image name of containerd.

    Attributes:
        name: `registry/repository:tag`; from CRI also `…@sha256:…` and `sha256:<config>`.
        target: The manifest or index it points to.
        media_type: The target's media type.
        labels: containerd's labels.
    """

    name: str
    target: Digest
    media_type: str
    labels: Mapping[str, str]


class ImageService:
    """The image names of the connection's namespace."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = images_pb2_grpc.ImagesStub(connection.channel)

    async def get(self, name: str) -> Image | None:
        """The image called `name`, or None.

        Raises:
            ContainerdError: See `Connection.call`.
        """
        try:
            answer = await self._connection.call(
                self._stub.Get, images_pb2.GetImageRequest(name=name)
            )
        except ContentNotFound:
            return None
        return _image(answer.image)

    async def list(self) -> list[Image]:
        """All images whose target's digest is sha256.

        Raises:
            ContainerdError: See `Connection.call`.
        """
        answer = await self._connection.call(self._stub.List, images_pb2.ListImagesRequest())
        return [image for message in answer.images if (image := _image(message)) is not None]


def _image(message: images_pb2.Image) -> Image | None:
    try:
        target = Digest.parse(message.target.digest)
    except InvalidDigest:
        return None
    return Image(message.name, target, message.target.media_type, dict(message.labels))
