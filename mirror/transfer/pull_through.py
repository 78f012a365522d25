"""Fetches what the embedded store lacks, keeps it, and lets callers read it meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AsyncExitStack, aclosing, suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.store.growing import Abandoned, Growing
from mirror.store.ingest import DigestMismatch, Ingest, IngestRunning
from mirror.store.layout import LayoutStore
from mirror.store.port import Content
from mirror.transfer.memory import Manifest
from mirror.transfer.origin import Origin
from mirror.transfer.upstream_error import UpstreamError

log = logging.getLogger("spegla.upstream")

T = TypeVar("T")


class PullThrough:
    """Upstream into the store, once for all who ask; an async context manager.

    Downloads belong to it and not to their callers: one that goes away stops nothing, since
    the others and the next pull want the bytes too. Leaving the context ends them all.
    """

    def __init__(self, store: LayoutStore, origin: Origin) -> None:
        self._store = store
        self._origin = origin
        self._asked: dict[Hashable, asyncio.Future[Any]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._tasks = await self._exit.enter_async_context(asyncio.TaskGroup())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._running:
            task.cancel()
        self._tasks = None
        await self._exit.aclose()

    async def manifest(self, registry: str, repository: str, wanted: Digest | str) -> Content:
        """Fetches a manifest by digest or tag; a tag's name is set in the store.

        A tag is asked upstream every time: who is content with what is held asks the store.

        Raises:
            NotHere: Upstream does not have it.
            UpstreamError: Upstream gave no usable answer.
            OSError: It could not be stored.
        """

        async def fetch(answer: asyncio.Future[Content]) -> None:
            found = await self._origin.manifest(registry, repository, wanted)
            content = await self._keep(found, registry)
            if not isinstance(wanted, Digest):
                await self._store.tag(f"{registry}/{repository}:{wanted}", found.digest)
            answer.set_result(content)

        return await self._shared(("manifest", registry, repository, wanted), fetch)

    async def blob(self, registry: str, repository: str, digest: Digest) -> Growing:
        """Starts to fetch a blob, or joins a download that runs.

        Returns:
            The growing blob, as soon as upstream has told its size.

        Raises:
            NotHere: Upstream does not have it.
            UpstreamError: Upstream gave no usable answer.
            OSError: It can't be stored, the disk being full for instance.
        """
        if (running := self._store.growing(digest)) is not None:
            return running

        async def fetch(answer: asyncio.Future[Ingest]) -> None:
            async with (
                self._origin.open_blob(registry, repository, digest) as download,
                await self._store.ingest(digest, download.total) as ingest,
            ):
                answer.set_result(ingest)
                async with aclosing(download.chunks()) as chunks:
                    async for chunk in chunks:
                        await ingest.write(chunk)
                await ingest.commit("", registry)

        try:
            return await self._shared(("blob", registry, repository, digest), fetch)
        except IngestRunning:
            # Asked for in another repository's name too, and that one was faster.
            if (running := self._store.growing(digest)) is not None:
                return running
            raise

    async def _keep(self, found: Manifest, registry: str) -> Content:
        while (content := self._store.find(found.digest)) is None:
            try:
                async with await self._store.ingest(found.digest, len(found.data)) as ingest:
                    await ingest.write(found.data)
                    return await ingest.commit(found.media_type, registry)
            except IngestRunning:
                if (running := self._store.growing(found.digest)) is not None:
                    with suppress(Abandoned):
                        await running.grown(len(found.data))
        await self._store.add_registry(found.digest, registry)
        return content

    async def _shared(
        self, key: Hashable, fetch: Callable[[asyncio.Future[T]], Awaitable[None]]
    ) -> T:
        """The answer that `fetch` sets; who asks the same meanwhile gets the same one."""
        answer: asyncio.Future[T] | None = self._asked.get(key)
        # An answered one may be a download that was given up since.
        if answer is None or answer.done():
            if self._tasks is None:
                raise RuntimeError("PullThrough is used outside of its context")
            answer = asyncio.get_running_loop().create_future()
            self._asked[key] = answer
            task = self._tasks.create_task(self._run(key, fetch, answer), name=f"fetch {key}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await asyncio.shield(answer)

    async def _run(
        self,
        key: Hashable,
        fetch: Callable[[asyncio.Future[T]], Awaitable[None]],
        answer: asyncio.Future[T],
    ) -> None:
        try:
            await fetch(answer)
        except (NotHere, UpstreamError, OSError, DigestMismatch, IngestRunning) as error:
            if answer.done():
                log.warning("download of %s failed: %s", key, error)
            else:
                answer.set_exception(error)
                answer.exception()  # seen: all who asked may have gone away
        finally:
            if self._asked.get(key) is answer:
                del self._asked[key]
            answer.cancel()
