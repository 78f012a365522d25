"""Tells of commits and deletions in a content store's folder, on every version of containerd.

A commit is a rename into `blobs/sha256`, a garbage collection an unlink there (1.6 to 2.1), while
containerd's own events for content are missing before 2.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from asyncinotify import Event, Inotify, Mask, Watch

from mirror.oci.digest import Digest, InvalidDigest

_ARRIVED: Final = Mask.MOVED_TO | Mask.CREATE
_LEFT: Final = Mask.DELETE | Mask.MOVED_FROM
_FOLDERS: Final = Mask.CREATE | Mask.MOVED_TO | Mask.ONLYDIR
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
    """Watches `<root>/blobs/sha256`.

    containerd makes it at its first commit, and 2.1 also the root only then.
    """

    def __init__(self, root: Path) -> None:
        """Watches from now on; what happens before the iteration starts is kept by the kernel.

        Raises:
            OSError: The root's parent is not there, or the kernel's limit of watchers is reached
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
            OSError: Even the root's parent is gone.
        """
        async for event in self._inotify:
            if event.mask & Mask.Q_OVERFLOW:
                yield Missed()
            elif event.mask & Mask.IGNORED or self._is_parents(event):
                self._arm()
                yield Missed()
                # What was committed before the folder could be watched, perhaps so lately that
                # containerd does not list it yet.
                for digest in await asyncio.to_thread(self._listing):
                    yield Committed(digest)
            elif event.watch is self._blobs and (named := _digest(event.name)) is not None:
                yield Committed(named) if event.mask & _ARRIVED else Deleted(named)

    def _arm(self) -> None:
        """Watches the blobs' folder and its parents, as far as there are any."""
        root = self._root
        self._blobs = None
        # Each parent before its child, so that none appears unseen in between.
        self._inotify.add_watch(root.parent, _FOLDERS)
        with contextlib.suppress(FileNotFoundError):
            self._inotify.add_watch(root, _FOLDERS)
            self._inotify.add_watch(root / "blobs", _FOLDERS)
            self._blobs = self._inotify.add_watch(
                root / "blobs" / "sha256", _ARRIVED | _LEFT | Mask.ONLYDIR
            )

    def _is_parents(self, event: Event) -> bool:
        """Whether one of the folders on the way to the blobs has come."""
        return bool(event.mask & Mask.ISDIR) and str(event.name) in (
            self._root.name,
            "blobs",
            "sha256",
        )

    def _listing(self) -> list[Digest]:
        try:
            names = os.listdir(self._root / "blobs" / "sha256")  # noqa: PTH208 - names are wanted
        except OSError:
            return []
        return [digest for name in names if (digest := _digest(name)) is not None]


def _digest(name: object) -> Digest | None:
    try:
        return Digest.parse(f"sha256:{name}")
    except InvalidDigest:
        return None
