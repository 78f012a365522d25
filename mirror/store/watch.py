"""Tells of commits and deletions in a content store's folder, on every version of containerd.

A commit is a rename into `blobs/sha256`, a garbage collection an unlink there (1.6 to 2.1), while
containerd's own events for content are missing before 2.1.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from asyncinotify import Event, Inotify, Mask, Watch

from mirror.oci.digest import Digest, InvalidDigest

_ARRIVED: Final = Mask.MOVED_TO | Mask.CREATE
_LEFT: Final = Mask.DELETE | Mask.MOVED_FROM
_EVENTS_A_READ: Final = 100
"""Full-size events; three times as many of those that a digest makes."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A file named `digest` appeared."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class Deleted:
    """The file named `digest` is gone."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class Missed:
    """The kernel dropped events, or the folder itself came or went: compare with the store."""


FolderChange = Committed | Deleted | Missed


class FolderWatch:
    """Watches `<root>/blobs/sha256`, which containerd makes at its first commit."""

    def __init__(self, root: Path) -> None:
        """Watches from now on; what happens before the iteration starts is kept by the kernel.

        Raises:
            OSError: The root is not there, or the kernel's limit of watchers is reached
                (`fs.inotify.max_user_instances`).
        """
        self._root = root
        self._inotify = Inotify(cache_size=_EVENTS_A_READ)
        self._blobs: Watch | None = None
        try:
            self._arm()
        except BaseException:
            self._inotify.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._inotify.close()

    async def __aiter__(self) -> AsyncIterator[FolderChange]:
        """The changes, for ever.

        Raises:
            OSError: The root itself is gone.
        """
        async for event in self._inotify:
            change = self._change(event)
            if change is not None:
                yield change

    def _arm(self) -> None:
        """Watches the blobs' folder, or the innermost of its parents that there is."""
        self._inotify.add_watch(self._root, Mask.CREATE | Mask.MOVED_TO | Mask.ONLYDIR)
        try:
            # Each parent before its child, so that none appears unseen in between.
            self._inotify.add_watch(
                self._root / "blobs", Mask.CREATE | Mask.MOVED_TO | Mask.ONLYDIR
            )
            self._blobs = self._inotify.add_watch(
                self._root / "blobs" / "sha256", _ARRIVED | _LEFT | Mask.ONLYDIR
            )
        except FileNotFoundError:
            self._blobs = None

    def _change(self, event: Event) -> FolderChange | None:
        if event.mask & Mask.Q_OVERFLOW:
            return Missed()
        if event.mask & Mask.IGNORED:
            self._arm()
            return Missed()
        if event.watch is None or event.watch is not self._blobs:
            return self._parents_change(event)
        try:
            digest = Digest.parse(f"sha256:{event.name}")
        except InvalidDigest:
            return None
        return Committed(digest) if event.mask & _ARRIVED else Deleted(digest)

    def _parents_change(self, event: Event) -> Missed | None:
        if event.mask & Mask.ISDIR and str(event.name) in ("blobs", "sha256"):
            self._arm()
            return Missed()
        return None
