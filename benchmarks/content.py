"""Content for containerd: one large blob from disk, many small ones over gRPC."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from benchmarks.scale import MIB
from mirror.oci.digest import Digest
from tests.cluster.containerd import Containerd
from tests.cluster.content import SOURCE, ContentDriver
from tests.cluster.image import REGISTRY
from tests.cluster.netns import run

HOST = REGISTRY.partition(":")[0]
"""The registry that content is from, as containerd writes it in labels."""

_NAMESPACE = "k8s.io"
_AT_ONCE = 16


def blob_path(digest: Digest) -> str:
    """Where any registry has a blob, for who asks as containerd does."""
    return f"/v2/bench/blobs/{digest}?ns={REGISTRY}"


def manifest_path(repository: str, digest: Digest) -> str:
    """Where any registry has a manifest, for who asks as containerd does."""
    return f"/v2/{repository}/manifests/{digest}?ns={REGISTRY}"


def add_large(containerd: Containerd, size: int, folder: Path) -> Digest:
    """Puts `size` random bytes (whole MiB) into containerd; `folder` is for a temporary file."""
    path = folder / "large"
    hashed = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(size // MIB):
            chunk = os.urandom(MIB)
            hashed.update(chunk)
            file.write(chunk)
    digest = Digest.parse(f"sha256:{hashed.hexdigest()}")
    ctr = [str(containerd.build.folder / "ctr"), "-a", str(containerd.socket), "-n", _NAMESPACE]
    ingest = [*ctr, "content", "ingest", "--expected-digest", digest, "--expected-size", str(size)]
    run(["sh", "-c", 'exec "$@" < "$0"', str(path), *ingest, "large"], 120)
    labels = ["containerd.io/gc.root=benchmark", f"{SOURCE}{HOST}=bench"]
    run([*ctr, "content", "label", digest, *labels])
    path.unlink()
    return digest


def add_small(containerd: Containerd, blobs: Iterable[bytes]) -> list[Digest]:
    """Puts small blobs into containerd."""
    return asyncio.run(_add(containerd, list(blobs)))


async def _add(containerd: Containerd, blobs: list[bytes]) -> list[Digest]:
    turns = asyncio.Semaphore(_AT_ONCE)
    async with ContentDriver(containerd.socket) as driver, asyncio.TaskGroup() as tasks:

        async def add(blob: bytes) -> None:
            async with turns:
                await driver.commit(blob, labels={f"{SOURCE}{HOST}": "bench"})

        for blob in blobs:
            tasks.create_task(add(blob))
    return [Digest.of(blob) for blob in blobs]
