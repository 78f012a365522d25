"""Elsewhere, for the embedded store: what is fetched is kept, and passed on while it lands."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Protocol

from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.oci.ranges import RangeRequest, Span
from mirror.store.growing import Abandoned, Growing
from mirror.store.port import Blob, Content, Store
from mirror.transfer.found import Description, FileBody, Found, Source
from mirror.transfer.limits import Limits
from mirror.transfer.relay import BrokenOff
from mirror.transfer.upstream_error import UpstreamError
from mirror.transfer.wanted import Kind, Wanted

log = logging.getLogger("spegla.transfer")

_STALL = 20.0
_COMMIT = 120.0


class Keeper(Protocol):
    """Fetches into the store; `mirror.transfer.pull_through.PullThrough` is one."""

    async def manifest(self, registry: str, repository: str, wanted: Digest | str) -> Content:
        """Fetches a manifest; a tag's name is set in the store."""
        ...

    async def blob(self, registry: str, repository: str, digest: Digest) -> Growing:
        """Starts to fetch a blob, or joins a download that runs."""
        ...


class Embedded:
    """What the embedded store lacks, fetched into it."""

    tags_first = True

    def __init__(self, store: Store, keeper: Keeper, limits: Limits) -> None:
        self._store = store
        self._keeper = keeper
        self._limits = limits

    async def describe(self, wanted: Wanted) -> Description:
        """See `Elsewhere`."""
        if wanted.kind is Kind.MANIFEST:
            return _describe(await self._manifest(wanted))
        growing = await self._blob(wanted)
        if growing.total is None:
            await self._wait(growing, None)
        return Description(growing.digest, growing.total or growing.size, "", Source.UPSTREAM)

    async def open(self, wanted: Wanted, asked: RangeRequest | None) -> Found:
        """See `Elsewhere`."""
        if wanted.kind is Kind.MANIFEST:
            return self._open_kept(_describe(await self._manifest(wanted)), asked)
        growing = await self._blob(wanted)
        if growing.total is None or growing.total <= self._limits.verified_first:
            await self._wait(growing, growing.total)
            description = Description(growing.digest, growing.size, "", Source.UPSTREAM)
            return self._open_kept(description, asked)
        description = Description(growing.digest, growing.total, "", Source.UPSTREAM)
        span = Span(0, growing.total) if asked is None else asked.resolve(growing.total)
        try:
            blob = growing.open()
        except Abandoned as error:
            raise NotHere(f"{growing.digest} did not arrive: {error}") from error
        body = GrowingBody(growing, blob, span, self._limits.chunk)
        return Found(description, span, body, blob.close)

    def _open_kept(self, description: Description, asked: RangeRequest | None) -> Found:
        size = description.size
        span = Span(0, size) if asked is None else asked.resolve(size)
        blob = self._store.open(description.digest)
        return Found(description, span, FileBody(blob), blob.close)

    async def _manifest(self, wanted: Wanted) -> Content:
        reference = wanted.digest or wanted.tag or ""
        try:
            return await self._keeper.manifest(wanted.registry, wanted.repository, reference)
        except (NotHere, UpstreamError, OSError) as error:
            held = self._store.resolve(wanted.name) if wanted.tag is not None else None
            content = None if held is None else self._store.find(held)
            if content is None:
                raise NotHere(f"{wanted.key}: {error}") from error
            log.info("%s is answered from the store: %s", wanted.name, error)
            return content

    async def _blob(self, wanted: Wanted) -> Growing:
        try:
            return await self._keeper.blob(wanted.registry, wanted.repository, wanted.exact)
        except (UpstreamError, OSError) as error:
            raise NotHere(f"{wanted.key}: {error}") from error

    async def _wait(self, growing: Growing, total: int | None) -> None:
        """Until all of a blob is here and verified.

        Raises:
            NotHere: It was given up, or takes too long.
        """
        try:
            async with asyncio.timeout(_COMMIT):
                offset = 0 if total is None else total
                while (size := await growing.grown(offset)) > offset:
                    offset = size
        except (Abandoned, TimeoutError) as error:
            raise NotHere(f"{growing.digest} did not arrive: {error}") from error


class GrowingBody:
    """Sends a blob while it lands; the last chunk waits until the store has verified it."""

    def __init__(self, growing: Growing, blob: Blob, span: Span, chunk: int) -> None:
        self._growing = growing
        self._blob = blob
        self._span = span
        self._chunk = chunk

    async def chunks(self) -> AsyncGenerator[memoryview]:
        """See `StreamBody`."""
        offset = self._span.start
        while offset < self._span.stop:
            arrived = await self._arrived(offset)
            if arrived == self._growing.total:
                await self._arrived(arrived)
            while offset < min(arrived, self._span.stop):
                length = min(self._chunk, min(arrived, self._span.stop) - offset)
                data = await self._blob.read(offset, length)
                if not data:
                    raise BrokenOff(f"{self._growing.digest} ends at byte {offset} of its file")
                offset += len(data)
                yield memoryview(data)

    async def _arrived(self, offset: int) -> int:
        try:
            async with asyncio.timeout(_STALL):
                return await self._growing.grown(offset)
        except (Abandoned, TimeoutError) as error:
            raise BrokenOff(
                f"{self._growing.digest} broke off at byte {offset}: {error}"
            ) from error


def _describe(content: Content) -> Description:
    return Description(content.digest, content.size, content.media_type, Source.UPSTREAM)
