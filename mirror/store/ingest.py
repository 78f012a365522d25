"""One blob on its way into the layout store."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from mirror.oci.digest import Digest
from mirror.store.file import FileBlob
from mirror.store.growing import Abandoned
from mirror.store.port import Content
from mirror.store.threads import in_thread, to_the_end


class DigestMismatch(Exception):
    """The bytes are not those that the digest or the size promised; nothing was kept."""


class IngestRunning(Exception):
    """Somebody writes this digest already: follow `LayoutStore.growing` instead."""


class Ingest:
    """A growing blob with one writer; its readers see it as `Growing`.

    The writer uses it as an async context manager, so that whatever ends it early, a
    cancellation included, leaves no file behind::

        async with await store.ingest(digest, total) as ingest:
            async for chunk in chunks:
                await ingest.write(chunk)
            await ingest.commit("", "docker.io")
    """

    def __init__(
        self,
        digest: Digest,
        total: int | None,
        path: Path,
        target: Path,
        descriptor: int,
        *,
        keep: Callable[[Ingest, str, str], Awaitable[Content]],
        forget: Callable[[Ingest], None],
    ) -> None:
        """Wraps an empty file; `LayoutStore.ingest` is who calls this.

        Args:
            digest: What the bytes must hash to.
            total: How many there must be, or None when unknown.
            path: The file.
            target: Where it goes when it is complete.
            descriptor: The file, open for writing; owned from now on.
            keep: Renames the complete file to `target` and makes it content of the store, given
                media type and registry.
            forget: Called when the ingest was given up.
        """
        self.digest = digest
        self.total = total
        self.path = path
        self.target = target
        self.size = 0
        self._descriptor = descriptor
        self._keep = keep
        self._forget = forget
        self._hash = hashlib.sha256()
        self._grew = asyncio.Event()
        self._content: Content | None = None
        self._ended: str | None = None

    def __repr__(self) -> str:
        state = self._ended or ("committed" if self._content else "growing")
        return f"<Ingest {self.digest} {self.size}/{self.total} {state}>"

    def fileno(self) -> int:
        """The writer's descriptor, while it grows; readers have their own by `open`."""
        return self._descriptor

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.abort("its download ended early" if error is None else _cause(error))

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Appends `chunk`, which must not change until this returns.

        Raises:
            DigestMismatch: More bytes than `total`.
            OSError: The disk is full or broken.
        """
        self._check_growing()
        if self.total is not None and self.size + len(chunk) > self.total:
            raise DigestMismatch(f"{self.digest}: more than the {self.total} bytes announced")
        await in_thread(self._append, memoryview(chunk))
        self.size += len(chunk)
        self._wake()

    async def commit(self, media_type: str, registry: str) -> Content:
        """Verifies and keeps the blob; readers then see its end.

        Args:
            media_type: Of a manifest or index; empty for a blob.
            registry: Host that it came from; empty when unknown, then it is not shared.

        Raises:
            DigestMismatch: The bytes are not those of the digest; they were thrown away.
            OSError: The disk failed.
        """
        self._check_growing()
        found = Digest("sha256:" + self._hash.hexdigest())
        if found != self.digest or self.total not in (None, self.size):
            expected = "an unknown number" if self.total is None else self.total
            problem = f"{self.digest}: got {self.size} of {expected} bytes, and their hash {found}"
            await self.abort(problem)
            raise DigestMismatch(problem)
        return await to_the_end(self._commit(media_type, registry))

    async def abort(self, reason: str = "given up") -> None:
        """Throws the bytes away and tells the readers; does nothing after a commit."""
        if self._content is not None or self._ended is not None:
            return
        self._ended = reason
        self._forget(self)
        self._wake()
        await in_thread(self._discard)

    def open(self) -> FileBlob:
        """A reader's own descriptor of it, see `Growing.open`."""
        if self._ended is not None:
            raise Abandoned(f"{self.digest}: {self._ended}")
        return _IngestBlob(self)

    async def grown(self, offset: int) -> int:
        """Waits for bytes after `offset`, see `Growing.grown`."""
        while True:
            if self._ended is not None:
                raise Abandoned(f"{self.digest}: {self._ended}")
            if self.size > offset or self._content is not None:
                return self.size
            await self._grew.wait()

    def _check_growing(self) -> None:
        if self._content is not None or self._ended is not None:
            raise ValueError(f"{self!r} takes no more bytes")

    def _wake(self) -> None:
        self._grew.set()
        self._grew = asyncio.Event()

    async def _commit(self, media_type: str, registry: str) -> Content:
        self._content = await self._keep(self, media_type, registry)
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
        self._wake()
        return self._content

    def _append(self, view: memoryview) -> None:
        self._hash.update(view)
        offset = self.size
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            offset += written
            view = view[written:]

    def _discard(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
        self.path.unlink(missing_ok=True)


class _IngestBlob(FileBlob):
    """An ingest's file; its size is what has landed so far."""

    def __init__(self, ingest: Ingest) -> None:
        try:
            super().__init__(ingest.path)
        except FileNotFoundError:
            # The commit's thread has renamed it, and the event loop does not know yet.
            super().__init__(ingest.target)
        self._ingest = ingest

    @property
    def size(self) -> int:
        return self._ingest.size


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
