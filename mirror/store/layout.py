"""The embedded store: an OCI image layout that this node writes and other tools may share."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec

from asyncinotify import Event, Inotify, Mask

from mirror.errors import NotHere
from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.media import OCTET_STREAM
from mirror.oci.reference import hostname
from mirror.store.file import FileBlob
from mirror.store.image_index import InvalidIndex
from mirror.store.indexed import IndexedStore
from mirror.store.ingest import Ingest, IngestRunning
from mirror.store.journal import Journal
from mirror.store.layout_files import LayoutFiles, digest_of
from mirror.store.origins import origins
from mirror.store.port import Content
from mirror.store.threads import in_thread, to_the_end

log = logging.getLogger("spegla.store")

P = ParamSpec("P")

_APPEARED = Mask.MOVED_TO | Mask.CLOSE_WRITE
_VANISHED = Mask.MOVED_FROM | Mask.DELETE
_FOLDER_GONE = Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.UNMOUNT | Mask.IGNORED


class LayoutStore(IndexedStore):
    """A `Store` on a folder of its own, with a write side.

    Content is verified before it shows: what this node writes while it is written, what other
    tools (`skopeo copy … oci:FOLDER:NAME`) put there when it is noticed. Content of unknown
    origin belongs to the registries of the full names that reach it.
    """

    def __init__(self, root: Path, *, look_again: float = 5.0) -> None:
        """Names the folder; nothing is touched before `run`.

        Args:
            root: The layout; created when missing.
            look_again: Seconds until a folder that can't be used or watched is looked at again.
        """
        super().__init__()
        self._files = LayoutFiles(root)
        self._journal = Journal(self._files.journal)
        self._look_again = look_again
        self._growing: dict[Digest, Ingest] = {}
        self._writing_names = asyncio.Lock()
        self._ready = False

    def __repr__(self) -> str:
        return f"<LayoutStore {self._files.root} {self._index!r} {len(self._growing)} growing>"

    @property
    def ready(self) -> bool:
        """As `Store.ready`."""
        return self._ready

    def distrust(self, digest: Digest) -> None:
        """As `Store.distrust`; the file is ours, so it goes, and is fetched anew when asked for."""
        self._index.remove(digest)
        self._files.blob(digest).unlink(missing_ok=True)

    def open(self, digest: Digest) -> FileBlob:
        """As `Store.open`."""
        content = self._index.find(digest)
        if content is None:
            raise NotHere(f"{digest} is not in this store")
        try:
            blob = FileBlob(self._files.blob(digest))
        except FileNotFoundError as error:
            raise NotHere(f"{digest} was deleted") from error
        if blob.size != content.size:
            blob.close()
            raise NotHere(f"{digest} has {blob.size} bytes instead of {content.size}")
        return blob

    def growing(self, digest: Digest) -> Ingest | None:
        """The blob that is being written under this digest, for others to follow."""
        return self._growing.get(digest)

    async def ingest(self, digest: Digest, total: int | None) -> Ingest:
        """Starts to write a blob; the caller is its one writer.

        Args:
            digest: What its bytes must hash to.
            total: How many bytes there will be, or None when unknown.

        Raises:
            IngestRunning: It is `growing` already.
            OSError: The store is not ready, or the blob will not fit.
        """
        if not self._ready:
            raise OSError(f"the store at {self._files.root} is not ready")
        return await to_the_end(self._ingest(digest, total))

    async def tag(self, name: str, digest: Digest) -> None:
        """Points `registry/repository:tag` to content held.

        Raises:
            NotHere: It is not held.
            OSError: The disk failed.
        """
        content = self._index.find(digest)
        if content is None:
            raise NotHere(f"{digest} is not in this store")
        if self._index.resolve(name) == digest:
            return
        descriptor = Descriptor(digest, content.size, content.media_type or OCTET_STREAM)
        async with self._writing_names:
            await in_thread(self._files.set_name, name, descriptor)
        self._index.set_name(name, digest)
        await self._learn_origins({name: digest})

    async def add_registry(self, digest: Digest, registry: str) -> None:
        """Notes another registry that content came from.

        Raises:
            NotHere: It is not held.
        """
        content = self._index.find(digest)
        if content is None:
            raise NotHere(f"{digest} is not in this store")
        registries = content.registries | {hostname(registry)}
        await self._know(dataclasses.replace(content, registries=registries))

    async def run(self) -> None:
        """As `Store.run`.

        Raises:
            SetupError: Another node runs on the same folder.
        """
        while True:
            try:
                await self._serve()
            except OSError as error:
                log.warning(
                    "store %s can't be used, trying again in %g s: %s",
                    self._files.root, self._look_again, error,
                )  # fmt: skip
            finally:
                self._ready = False
            await asyncio.sleep(self._look_again)

    async def _serve(self) -> None:
        lock = await in_thread(self._files.prepare)
        try:
            await in_thread(self._files.repair_index)
            try:
                watch = Inotify()
            except OSError as error:
                log.warning(
                    "looking at %s every %g s instead of watching it: %s;"
                    " raise fs.inotify.max_user_instances",
                    self._files.root, self._look_again, error,
                )  # fmt: skip
                await self._poll()
            else:
                with watch:
                    await self._watch(watch)
        finally:
            os.close(lock)

    async def _watch(self, watch: Inotify) -> None:
        watch.add_watch(self._files.blobs, _APPEARED | _VANISHED | Mask.DELETE_SELF)
        watch.add_watch(self._files.root, _APPEARED | Mask.DELETE_SELF | Mask.MOVE_SELF)
        await self._load()
        self._ready = True
        async for event in watch:
            await self._look(event)

    async def _poll(self) -> None:
        while True:
            await self._load()
            self._ready = True
            await asyncio.sleep(self._look_again)

    async def _look(self, event: Event) -> None:
        if event.mask & Mask.Q_OVERFLOW:
            await self._load()
        elif event.mask & _FOLDER_GONE:
            raise OSError("the folder was removed")
        elif event.path == self._files.index:
            await self._load_names()
        elif event.path is not None and event.path.parent == self._files.blobs:
            digest = digest_of(event.path.name)
            if digest is not None:
                await self._look_at(digest)

    async def _look_at(self, digest: Digest) -> None:
        size = await in_thread(self._files.size, digest)
        known = self._index.find(digest)
        if known is not None and known.size != size:
            self._index.remove(digest)
            await self._note(self._journal.forget, digest)
            known = None
        # The end of an own ingest is told by its commit.
        if size is not None and known is None and digest not in self._growing:
            content = await self._verify(digest, size)
            if content is not None:
                await self._know(content)
                await self._learn_origins(dict(self._index.names()))

    async def _load(self) -> None:
        """Makes the index equal to the disk; verifies what the journal does not vouch for."""
        with self._index.sync() as sync:
            sizes = await in_thread(self._files.sizes)
            noted = await in_thread(self._journal.load)
            contents = []
            for digest, size in sizes.items():
                content = self._index.find(digest) or noted.get(digest)
                if content is None or content.size != size:
                    content = await self._verify(digest, size)
                if content is not None:
                    contents.append(content)
            names = await self._read_names(default=dict(self._index.names()))
            sync.finish(contents, names)
        await self._learn_origins(names)
        if not self._ready:
            await self._note(self._journal.replace, tuple(self._index.contents()))

    async def _load_names(self) -> None:
        known = dict(self._index.names())
        with self._index.sync() as sync:
            names = await self._read_names(default=known)
            sync.finish(self._index.contents(), names)
        await self._learn_origins({n: d for n, d in names.items() if known.get(n) != d})

    async def _read_names(self, default: dict[str, Digest]) -> dict[str, Digest]:
        try:
            index = await in_thread(self._files.read_index)
        except InvalidIndex as error:
            # Seen while another tool writes it in place; the end of that is another event.
            log.debug("index.json is not readable now: %s", error)
            return default
        return {name: descriptor.digest for name, descriptor in index.names().items()}

    async def _verify(self, digest: Digest, size: int) -> Content | None:
        """Hashes a blob that somebody else wrote; None when it is not what its name says."""
        try:
            slices = self._files.hashing(digest)
            found = None
            while found is None:
                found = await in_thread(next, slices)
            if found == digest:
                media_type = await in_thread(self._files.recognise, digest, size)
                return Content(digest, size, media_type, frozenset())
            log.warning("%s is damaged, not using it", self._files.blob(digest))
        except OSError as error:
            log.warning("not using %s: %s", self._files.blob(digest), error)
        return None

    async def _learn_origins(self, names: Mapping[str, Digest]) -> None:
        """Gives content without registries those of the names that reach it."""
        if all(content.registries for content in self._index.contents()):
            return
        found = await in_thread(origins, names, self._index.find, self._files.read)
        for digest, registries in found.items():
            content = self._index.find(digest)
            if content is not None and not content.registries:
                await self._know(dataclasses.replace(content, registries=registries))

    async def _know(self, content: Content) -> None:
        self._index.put(content)
        await self._note(self._journal.note, (content,))

    async def _note(self, work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Writes to the journal; a full disk costs a verification at the next start, no more."""
        try:
            await in_thread(work, *args, **kwargs)
        except OSError as error:
            log.warning("journal of %s not written: %s", self._files.root, error)

    async def _ingest(self, digest: Digest, total: int | None) -> Ingest:
        reserved = sum(max(0, (i.total or 0) - i.size) for i in self._growing.values())
        path, descriptor = await asyncio.to_thread(self._files.create, digest, total, reserved)
        target = self._files.blob(digest)
        ingest = Ingest(
            digest, total, path, target, descriptor, keep=self._keep, forget=self._forget
        )
        if digest in self._growing:
            await ingest.abort()
            raise IngestRunning(f"{digest} is being written already")
        self._growing[digest] = ingest
        return ingest

    async def _keep(self, ingest: Ingest, media_type: str, registry: str) -> Content:
        registries = {hostname(registry)} if registry else set()
        known = self._index.find(ingest.digest)
        if known is not None:
            registries |= known.registries
        content = Content(ingest.digest, ingest.size, media_type, frozenset(registries))
        await asyncio.to_thread(self._files.keep, ingest.path, ingest.fileno(), ingest.digest)
        del self._growing[ingest.digest]
        await self._know(content)
        return content

    def _forget(self, ingest: Ingest) -> None:
        if self._growing.get(ingest.digest) is ingest:
            del self._growing[ingest.digest]
