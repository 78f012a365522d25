"""A small image made of bytes, for tests that need no container to run from it."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from dataclasses import dataclass

from mirror.oci.digest import Digest
from mirror.oci.media import OCI_CONFIG, OCI_MANIFEST

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True, slots=True)
class Sample:
    """The three pieces of a one-layer image."""

    manifest: bytes
    config: bytes
    layer: bytes

    @property
    def digest(self) -> Digest:
        return Digest.of(self.manifest)

    @property
    def blobs(self) -> tuple[bytes, bytes]:
        return (self.config, self.layer)


def make_sample(size: int = 300_000, seed: int = 1) -> Sample:
    """An image whose layer holds `size` incompressible bytes."""
    data = random.Random(seed).randbytes(size)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        member = tarfile.TarInfo("data")
        member.size = size
        tar.addfile(member, io.BytesIO(data))
    layer = gzip.compress(plain.getvalue(), 1, mtime=0)
    rootfs = {"type": "layers", "diff_ids": [Digest.of(plain.getvalue())]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(config, OCI_CONFIG),
        "layers": [_descriptor(layer, LAYER_TYPE)],
    }
    return Sample(json.dumps(manifest).encode(), config, layer)


def _descriptor(data: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": Digest.of(data), "size": len(data)}
