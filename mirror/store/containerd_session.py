"""One connection to containerd, from its first answer until it breaks.

The index is filled over gRPC, and then kept true by the kernel, which tells of every commit and
deletion in the content store's folder, and by containerd's events for image names. A comparison
with everything containerd lists follows each image event (labels are set late, content can be
shared with another namespace without a commit), each gap in what the kernel told, and `_PERIOD`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from mirror.containerd.client import Containerd
from mirror.containerd.connection import ContainerdError, ContainerdUnavailable
from mirror.containerd.content import ContentInfo
from mirror.oci.digest import Digest
from mirror.store.containerd_blob import remote_media_type
from mirror.store.folder import BlobFolder, damage
from mirror.store.hints import Hints
from mirror.store.index import ContentIndex
from mirror.store.labels import registries, tag_name
from mirror.store.lookups import Lookups
from mirror.store.port import Content
from mirror.store.watch import Committed, Deleted, FolderWatch

log = logging.getLogger("spegla.store")

_PERIOD: Final = 600.0
"""Seconds between comparisons that nothing asked for."""

_SETTLE: Final = 1.0
"""Seconds from an image event to its comparison; more events join it meanwhile."""

_SHARE: Final = 10
"""Image events cause comparisons for at most 1/10 of the time."""

_PROBE: Final = 5.0
"""Seconds between asking containerd whether it still answers."""

_AT_ONCE: Final = 16
"""Calls to containerd at the same time."""


class Session:
    """Keeps `index` equal to what containerd holds, as long as containerd answers.

    Attributes:
        synced: Whether the index has been compared with containerd in this session.
    """

    def __init__(
        self,
        client: Containerd,
        folder: BlobFolder | None,
        index: ContentIndex,
        hints: Hints,
        *,
        poll: float,
        clock: Callable[[], float],
    ) -> None:
        self.synced = False
        self._client = client
        self._folder = folder
        self._index = index
        self._hints = hints
        self._poll = poll
        self._clock = clock
        self._watched = False
        self._lookups = Lookups()
        self._damaged: set[Digest] = set()
        self._committed = asyncio.Event()
        self._compare_at = 0.0
        self._compare_took = 0.0
        self._compare_sooner = asyncio.Event()

    def refresh(self, delay: float) -> None:
        """Compares the index with containerd in `delay` seconds at the latest."""
        due = self._clock() + delay
        if due < self._compare_at:
            self._compare_at = due
            self._compare_sooner.set()

    async def run(self, on_ready: Callable[[float], None]) -> None:
        """Runs until containerd fails.

        Args:
            on_ready: Called once, with the seconds that the first comparison took.

        Raises:
            ExceptionGroup: Of ContainerdError.
        """
        with contextlib.ExitStack() as stack:
            watch = self._watch()
            if watch is not None:
                stack.enter_context(watch)
            # Both are subscribed before the first listing, so that nothing falls in between.
            names = self._client.events.image_names()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_names(names))
                self._watched = watch is not None
                if watch is not None and self._folder is not None:
                    group.create_task(self._follow_folder(watch))
                    group.create_task(self._look_up(self._folder))
                group.create_task(self._probe())
                period = self._poll if watch is None else _PERIOD
                group.create_task(self._compare_again(period, on_ready))

    def _watch(self) -> FolderWatch | None:
        if self._folder is None:
            return None
        try:
            return FolderWatch(self._folder.root)
        except OSError as error:
            log.warning(
                "can't watch %s (%s): looking every %.0f s instead; "
                "raise the sysctls fs.inotify.max_user_instances and max_user_watches",
                self._folder.root,
                error.strerror,
                self._poll,
            )
            return None

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(_PROBE)
            await self._client.server.version()

    async def _follow_names(self, names: AsyncIterator[str]) -> None:
        async for name in names:
            self.refresh(max(_SETTLE, _SHARE * self._compare_took))
            tag = tag_name(name)
            if tag is None:
                continue
            image = await self._client.images.get(tag)
            if image is None:
                self._index.remove_name(tag)
            else:
                self._index.set_name(tag, image.target)
        raise ContainerdUnavailable(f"{self._client.connection.socket}: the event stream ended")

    async def _follow_folder(self, watch: FolderWatch) -> None:
        try:
            async for change in watch:
                match change:
                    case Committed(digest):
                        self._lookups.add(digest, self._clock())
                        self._committed.set()
                    case Deleted(digest):
                        self._lookups.discard(digest)
                        self._index.remove(digest)
                    case _:
                        self.refresh(0.0)
        except OSError as error:
            raise ContainerdError(f"its content store is gone: {error}") from error

    async def _look_up(self, folder: BlobFolder) -> None:
        """Asks containerd about what was committed, off the path of any request."""
        while True:
            self._committed.clear()
            due = self._lookups.due(self._clock(), _AT_ONCE)
            if due:
                async with asyncio.TaskGroup() as group:
                    for digest in due:
                        group.create_task(self._look_up_one(digest, folder))
                continue
            next_at = self._lookups.next_at()
            wait = None if next_at is None else max(0.0, next_at - self._clock())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._committed.wait()

    async def _look_up_one(self, digest: Digest, folder: BlobFolder) -> None:
        hint = self._hints.get(digest, self._clock())
        hinted = frozenset[str]() if hint is None else frozenset({hint})
        if hinted:
            await self._publish(digest, hinted, folder)
        info = await self._client.content.info(digest)
        hosts = frozenset[str]() if info is None else registries(info.labels)
        if hosts:
            await self._publish(digest, hosts, folder)
            self._lookups.discard(digest)
            self._hints.discard(digest)
            return
        if self._lookups.again(digest, self._clock()):
            if info is not None:
                await self._publish(digest, hinted, folder)
        elif info is None:
            self._index.remove(digest)
        elif (known := self._index.find(digest)) is not None:
            self._index.put(replace(known, registries=hosts))

    async def _publish(self, digest: Digest, hosts: frozenset[str], folder: BlobFolder) -> None:
        known = self._index.find(digest)
        if known is not None:
            self._index.put(replace(known, registries=hosts))
            return
        seen = await asyncio.to_thread(folder.look, digest)
        if seen is not None and digest in self._lookups:
            self._index.put(Content(digest, seen[0], seen[1], hosts))

    async def _compare_again(self, period: float, on_ready: Callable[[float], None]) -> None:
        while True:
            started = self._clock()
            self._compare_at = started + period
            await self._compare()
            self._compare_took = self._clock() - started
            if not self.synced:
                self.synced = True
                on_ready(self._compare_took)
                # containerd does not say when it has begun to send events.
                self.refresh(_SETTLE)
            while (wait := self._compare_at - self._clock()) > 0:
                self._compare_sooner.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._compare_sooner.wait()

    async def _compare(self) -> None:
        with self._index.sync() as sync:
            infos = await self._client.content.list()
            images = await self._client.images.list()
            seen = await self._look_at_new(infos)
            contents = []
            for info in infos:
                hosts = registries(info.labels)
                known = self._index.find(info.digest)
                if known is not None:
                    contents.append(replace(known, registries=hosts))
                elif info.digest in seen and not hosts and self.synced and self._watched:
                    # Committed since the last look, unseen: its label is still to come.
                    self._lookups.add(info.digest, self._clock())
                elif info.digest in seen:
                    contents.append(Content(info.digest, *seen[info.digest], hosts))
            self._committed.set()
            names = {image.name: image.target for image in images if tag_name(image.name)}
            # A lookup under way knows more: it may have a hint, or newer labels.
            sync.touched.update(self._lookups)
            sync.finish(contents, names)

    async def _look_at_new(self, infos: Sequence[ContentInfo]) -> dict[Digest, tuple[int, str]]:
        """Size and media type of what the index does not know yet, as far as it can be read."""
        new = [info for info in infos if self._index.find(info.digest) is None]
        if self._folder is None:
            return await self._look_remotely(new)
        seen = await asyncio.to_thread(self._folder.look_at_all, [info.digest for info in new])
        if new and not seen and len(new) == len(infos):
            raise ContainerdError(f"none of its content is in {self._folder.root}")
        for info in new:
            if info.digest in seen and seen[info.digest][0] != info.size:
                size, _ = seen.pop(info.digest)
                self._tell_damaged(self._folder.path(info.digest), size, info)
        return seen

    def _tell_damaged(self, file: Path, size: int, info: ContentInfo) -> None:
        """Once for each blob, however often it is looked at."""
        if info.digest not in self._damaged:
            self._damaged.add(info.digest)
            log.warning("%s", damage(file, size, info.size))

    async def _look_remotely(self, new: Sequence[ContentInfo]) -> dict[Digest, tuple[int, str]]:
        seen: dict[Digest, tuple[int, str]] = {}
        slots = asyncio.Semaphore(_AT_ONCE)

        async def look(info: ContentInfo) -> None:
            async with slots:
                try:
                    kind = await remote_media_type(
                        info.digest, info.size, self._client.content.read
                    )
                except ContainerdUnavailable:
                    raise
                except ContainerdError:
                    return  # deleted meanwhile, or lost from the disk: only this one is missing
            seen[info.digest] = (info.size, kind)

        async with asyncio.TaskGroup() as group:
            for info in new:
                group.create_task(look(info))
        return seen
