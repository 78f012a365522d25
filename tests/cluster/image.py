"""Images from nothing: layers of chosen sizes, as an OCI layout that skopeo can push."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mirror.oci.digest import Digest

REGISTRY = "reg.test:5000"
"""The upstream registry that images are named after."""

_CONFIG = "application/vnd.oci.image.config.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_COMMANDS = ("sh", "ls", "cat", "echo", "sleep", "sha256sum", "mount", "dd", "find", "true")


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a layout.

    Attributes:
        layout: Folder of the OCI layout.
        repository: Path in the registry.
        tag: Its one tag.
        manifest: Digest that the tag points to.
        layers: Digests of its layers, in order.
        blobs: Every blob of it (manifest and config too) with its size in bytes.
    """

    layout: Path
    repository: str
    tag: str
    manifest: Digest
    layers: tuple[Digest, ...]
    blobs: dict[Digest, int]

    @property
    def reference(self) -> str:
        """As one pulls it: `reg.test:5000/<repository>:<tag>`."""
        return f"{REGISTRY}/{self.repository}:{self.tag}"

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(self.blobs.values())


@dataclass(frozen=True, slots=True)
class Layer:
    """An uncompressed tar, and how hard it is worth being compressed (gzip's 0 to 9)."""

    tar: bytes
    level: int


def random_layer(mib: float, seed: str) -> Layer:
    """A layer with one incompressible file; the same seed gives the same bytes."""
    name = f"data/{seed}"
    content = random.Random(seed).randbytes(int(mib * 1024 * 1024))
    # Stored, not compressed: what is measured is the transfer, not the unpacking.
    return Layer(_tar({"data/": b"", name: content}), level=0)


def busybox_layer() -> Layer:
    """A layer that containers can run from: busybox and the folders that runc wants."""
    folders = ("bin", "dev", "etc", "proc", "root", "sys", "tmp")
    files = {f"{name}/": b"" for name in folders}
    files["etc/passwd"] = b"root:x:0:0:root:/root:/bin/sh\n"
    files["bin/busybox"] = Path("/bin/busybox").read_bytes()
    return Layer(_tar(files, links={f"bin/{name}": "busybox" for name in _COMMANDS}), level=6)


def make_image(folder: Path, repository: str, layers: Sequence[Layer], tag: str = "1") -> Image:
    """Writes an image into a new OCI layout below `folder`.

    Args:
        folder: Where the layout's folder is made.
        repository: Path in the registry; names the layout's folder too.
        layers: Lowest first.
        tag: What it is tagged.
    """
    layout = folder / f"{repository.replace('/', '_')}-{tag}"
    (layout / "blobs/sha256").mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    blobs: dict[Digest, int] = {}

    def put(content: bytes, media_type: str) -> dict[str, object]:
        digest = Digest.of(content)
        (layout / "blobs/sha256" / digest.hex).write_bytes(content)
        blobs[digest] = len(content)
        return {"mediaType": media_type, "digest": str(digest), "size": len(content)}

    descriptors = [put(gzip.compress(layer.tar, layer.level, mtime=0), _LAYER) for layer in layers]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/sleep", "1000"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer.tar)) for layer in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": put(json.dumps(config).encode(), _CONFIG),
        "layers": descriptors,
    }
    top = put(json.dumps(manifest).encode(), _MANIFEST)
    named = {**top, "annotations": {"org.opencontainers.image.ref.name": tag}}
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [named]}
    (layout / "index.json").write_text(json.dumps(index))
    return Image(
        layout=layout,
        repository=repository,
        tag=tag,
        manifest=Digest.parse(str(top["digest"])),
        layers=tuple(Digest.parse(str(layer["digest"])) for layer in descriptors),
        blobs=blobs,
    )


def _tar(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    """A tar of folders (names with a slash at the end), files and symbolic links."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.mode = 0o755
            if name.endswith("/"):
                entry.type = tarfile.DIRTYPE
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.SYMTYPE
            entry.linkname = target
            tar.addfile(entry)
    return buffer.getvalue()
