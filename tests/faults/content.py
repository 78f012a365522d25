"""Images of which every pull gets one of its own, so that no cell profits from another's."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from mirror.oci.digest import Digest
from tests.cluster.image import Image, make_image, random_layer

_SMALL_LAYER = 1 / 16
_LARGE_LAYER = 10.0
"""MiB; beyond 8, spegla passes bytes on before it has seen them all."""

LARGE = 8 * 1024 * 1024


class Part(enum.Flag):
    """What of an image a request is for."""

    TAG = enum.auto()
    """The manifest, by its tag."""
    MANIFEST = enum.auto()
    """The manifest, by its digest."""
    CONFIG = enum.auto()
    LAYER = enum.auto()
    """A layer of 64 KiB."""
    LARGE = enum.auto()
    """The layer of 10 MiB."""


SIZES = {Part.LAYER: "64 KiB", Part.LARGE: "10 MiB"}
BLOBS = Part.CONFIG | Part.LAYER | Part.LARGE
LAYERS = Part.LAYER | Part.LARGE
MANIFESTS = Part.TAG | Part.MANIFEST
ALL = MANIFESTS | BLOBS


@dataclass(frozen=True, slots=True)
class Content:
    """An image with its bytes.

    Attributes:
        image: Its names and digests.
        data: Bytes of each blob, the manifest too.
    """

    image: Image
    data: dict[Digest, bytes]

    @property
    def keys(self) -> list[str]:
        """What its holders provide in the DHT."""
        return [self.image.reference, *map(str, self.data)]

    def at(self, path: str) -> tuple[Part, bytes] | None:
        """What a request's path means: part and bytes; None when it is nothing of this image."""
        root = f"/v2/{self.image.repository}/"
        if path == f"{root}manifests/{self.image.tag}":
            return Part.TAG, self.data[self.image.manifest]
        for digest, data in self.data.items():
            if path == f"{root}manifests/{digest}" and digest == self.image.manifest:
                return Part.MANIFEST, data
            if path == f"{root}blobs/{digest}":
                if digest not in self.image.layers:
                    return Part.CONFIG, data
                return Part.LARGE if len(data) > LARGE else Part.LAYER, data
        return None


def fresh(folder: Path, name: str, *, layers: int, large: bool) -> Content:
    """An image that nobody has seen before.

    Args:
        folder: Where its layout is made.
        name: Its repository; a name has the same bytes each time.
        layers: How many it has, of 64 KiB each.
        large: Whether the last is one of 10 MiB.
    """
    sizes = [_SMALL_LAYER] * (layers - 1) + [_LARGE_LAYER if large else _SMALL_LAYER]
    tars = [random_layer(size, f"{name}-{number}") for number, size in enumerate(sizes)]
    image = make_image(folder, name, tars)
    blobs = image.layout / "blobs/sha256"
    return Content(image, {digest: (blobs / digest.hex).read_bytes() for digest in image.blobs})
