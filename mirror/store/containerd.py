"""This node's containerd as a store.

When containerd is away, `ready` is False and nothing new is learned, but what is held is still
found and served: the files stay, because containerd alone deletes them, and a file that is gone
after all is found out when it is opened.

Where the content store's folder can't be read (another mount namespace, no permission), the
index is polled and the bytes come over gRPC.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mirror.containerd.client import Containerd
from mirror.containerd.connection import ContainerdError, ContainerdUnavailable
from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.store.containerd_blob import RemoteBlob
from mirror.store.containerd_session import Session
from mirror.store.file import FileBlob
from mirror.store.folder import BlobFolder, damage
from mirror.store.hints import Hints
from mirror.store.indexed import IndexedStore

log = logging.getLogger("spegla.store")

_FIRST_RETRY: Final = 0.1
_LAST_RETRY: Final = 2.0
"""Seconds until the next attempt to reach containerd, doubling."""


class ContainerdStore(IndexedStore):
    """Honours `Store` for one namespace of the containerd at a socket."""

    def __init__(
        self,
        socket: Path,
        namespace: str = "k8s.io",
        *,
        poll: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connects only in `run`.

        Args:
            socket: containerd's gRPC socket.
            namespace: Only its content and names are listed.
            poll: Seconds between comparisons where the content's folder can't be watched.
            clock: Seconds, never going back.
        """
        super().__init__()
        self._socket = socket
        self._namespace = namespace
        self._poll = poll
        self._clock = clock
        self._hints = Hints()
        self._folder: BlobFolder | None = None
        self._client: Containerd | None = None
        self._session: Session | None = None
        self._away_since: float | None = None

    def __repr__(self) -> str:
        return f"<ContainerdStore {self._socket} ready={self.ready} {self._index!r}>"

    @property
    def ready(self) -> bool:
        """As `Store.ready`."""
        return self._session is not None and self._session.synced

    def open(self, digest: Digest) -> FileBlob | RemoteBlob:
        """As `Store.open`."""
        content = self._index.find(digest)
        if content is None:
            raise NotHere(f"{digest} is not in containerd's namespace {self._namespace}")
        if self._folder is None:
            return RemoteBlob(digest, content.size, self._read_remote)
        try:
            blob = self._folder.open(digest)
        except FileNotFoundError as error:
            self._index.remove(digest)
            raise NotHere(f"{digest} was deleted a moment ago") from error
        if blob.size != content.size:
            blob.close()
            self._index.remove(digest)
            log.warning("%s", damage(self._folder.path(digest), blob.size, content.size))
            raise NotHere(f"{digest} is damaged")
        return blob

    def expect(self, digest: Digest, registry: str) -> None:
        """Says that our own containerd asks for `digest` of `registry`, which may have a port.

        The registry endpoint calls this for each such request with `?ns=`. The content then
        counts as that registry's from its commit on, before containerd has labelled it.
        """
        self._hints.put(digest, registry, self._clock())

    def refresh(self) -> None:
        """Compares the index with containerd now: for who has changed labels of old content."""
        if self._session is not None:
            self._session.refresh(0.0)

    async def run(self) -> None:
        """As `Store.run`."""
        retry = _FIRST_RETRY
        while True:
            try:
                await self._connect_apart()
            except* ContainerdError as errors:
                retry = _FIRST_RETRY if self._away_since is None else min(2 * retry, _LAST_RETRY)
                self._tell_away(_innermost(errors))
            await asyncio.sleep(retry)

    async def _connect_apart(self) -> None:
        """`_connect` in a task of its own.

        Before Python 3.13 a TaskGroup loses the cancellation of its task when one of its own
        tasks fails at that moment, as they do when containerd and this node are stopped together.
        """
        task = asyncio.create_task(self._connect())
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        task.result()

    async def _connect(self) -> None:
        """Lives until the connection breaks, which raises ContainerdError, alone or in a group."""
        async with Containerd(self._socket, self._namespace) as client:
            version = await client.server.version()
            folder = await _readable_folder(client)
            session = Session(
                client, folder, self._index, self._hints, poll=self._poll, clock=self._clock
            )
            self._folder, self._client, self._session = folder, client, session
            try:
                await session.run(lambda seconds: self._tell_ready(version, seconds))
            finally:
                self._client = self._session = None

    async def _read_remote(self, digest: Digest, offset: int, length: int) -> bytes:
        if self._client is None:
            raise ContainerdUnavailable(f"containerd at {self._socket} is away")
        return await self._client.content.read(digest, offset, length)

    def _tell_ready(self, version: str, seconds: float) -> None:
        if self._away_since is not None:
            away = self._clock() - self._away_since
            log.info("containerd is back at %s after %.1f s", self._socket, away)
            self._away_since = None
        log.info(
            "containerd %s at %s: %d blobs and %d image names, listed in %.2f s, read %s",
            version,
            self._socket,
            len(self._index),
            sum(1 for _ in self._index.names()),
            seconds,
            "through its API" if self._folder is None else f"from {self._folder.root}",
        )

    def _tell_away(self, error: BaseException) -> None:
        if self._away_since is not None:
            log.debug("containerd is still away: %s", error)
            return
        self._away_since = self._clock()
        log.warning(
            "containerd does not answer (%s): its new images are not shared until it does; "
            "check that it runs and that containerd-address is %s",
            error,
            self._socket,
        )


async def _readable_folder(client: Containerd) -> BlobFolder | None:
    """The content store's folder if this process sees the same one as containerd.

    Raises:
        ContainerdError: It does not answer.
    """
    root = await client.server.content_root()
    if root is None:
        return None
    folder = BlobFolder(root)
    digests = [info.digest for info in await client.content.list()]
    if await asyncio.to_thread(folder.holds_some, digests):
        return folder
    log.warning(
        "containerd's content store %s can't be read from here: reading through its API, which "
        "is slower; run as root and mount that folder at the same place",
        root,
    )
    return None


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
