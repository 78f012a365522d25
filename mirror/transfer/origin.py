"""Where the embedded store fetches from: peers first, the upstream behind them."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
)
from typing import Protocol

from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.transfer.memory import Manifest
from mirror.transfer.relay import BrokenOff, Relay
from mirror.transfer.remote import Remote
from mirror.transfer.upstream_error import UpstreamError
from mirror.transfer.wanted import Kind, Wanted

log = logging.getLogger("spegla.transfer")

_UPSTREAM_REST = 30.0


class Download(Protocol):
    """A blob's bytes on their way; who reads them verifies them."""

    @property
    def total(self) -> int | None:
        """Bytes in all, or None when the sender does not say."""
        ...

    def chunks(self) -> AsyncGenerator[bytes | memoryview]:
        """All bytes in order; a chunk is valid until the next one is asked for."""
        ...


class Origin(Protocol):
    """Where whole manifests and blobs can be fetched."""

    async def manifest(self, registry: str, repository: str, wanted: Digest | str) -> Manifest:
        """A manifest by digest or tag, verified.

        Raises:
            NotHere: It is not there.
            UpstreamError: There was no usable answer.
        """
        ...

    def open_blob(
        self, registry: str, repository: str, digest: Digest, offset: int = 0
    ) -> AbstractAsyncContextManager[Download]:
        """A blob's bytes from `offset` on.

        Raises:
            NotHere: It is not there.
            UpstreamError: There was no usable answer.
        """
        ...


class PeersFirst:
    """An origin that asks peers before the upstream; tags come from the upstream if it answers."""

    def __init__(self, remote: Remote, upstream: Origin, clock: Callable[[], float]) -> None:
        self._remote = remote
        self._upstream = upstream
        self._clock = clock
        self._resting: dict[str, float] = {}

    async def manifest(self, registry: str, repository: str, wanted: Digest | str) -> Manifest:
        """See `Origin`."""
        if isinstance(wanted, Digest):
            try:
                return await self._remote.manifest(_by_digest(registry, repository, wanted))
            except NotHere:
                return await self._upstream.manifest(registry, repository, wanted)
        if self._resting.get(registry, 0.0) <= self._clock():
            try:
                return await self._upstream.manifest(registry, repository, wanted)
            except UpstreamError as error:
                self._resting[registry] = self._clock() + _UPSTREAM_REST
                log.warning(
                    "%s is asked for tags again in %g s: %s", registry, _UPSTREAM_REST, error
                )
        return await self._remote.manifest(_by_tag(registry, repository, wanted))

    @asynccontextmanager
    async def open_blob(
        self, registry: str, repository: str, digest: Digest, offset: int = 0
    ) -> AsyncIterator[Download]:
        """See `Origin`."""
        upstream = functools.partial(self._upstream.open_blob, registry, repository, digest)
        wanted = Wanted(Kind.BLOB, registry, repository, digest, None)
        async with AsyncExitStack() as stack:
            if offset:
                yield await stack.enter_async_context(upstream(offset))
                return
            try:
                relay = await stack.enter_async_context(self._remote.download(wanted))
            except NotHere:
                yield await stack.enter_async_context(upstream(0))
            else:
                yield _Rescued(relay, upstream)


class _Rescued:
    """A download from peers that the upstream finishes when they cannot."""

    def __init__(
        self, relay: Relay, upstream: Callable[[int], AbstractAsyncContextManager[Download]]
    ) -> None:
        self.total = relay.total
        self._relay = relay
        self._upstream = upstream

    async def chunks(self) -> AsyncGenerator[bytes | memoryview]:
        """See `Download`."""
        passed = 0
        try:
            async with aclosing(self._relay.chunks()) as chunks:
                async for chunk in chunks:
                    passed += len(chunk)
                    yield chunk
        except BrokenOff as error:
            log.info("the upstream finishes what peers began: %s", error)
        if passed < self.total:
            async with self._upstream(passed) as rest, aclosing(rest.chunks()) as chunks_of_rest:
                async for piece in chunks_of_rest:
                    yield piece


def _by_digest(registry: str, repository: str, digest: Digest) -> Wanted:
    return Wanted(Kind.MANIFEST, registry, repository, digest, None)


def _by_tag(registry: str, repository: str, tag: str) -> Wanted:
    return Wanted(Kind.MANIFEST, registry, repository, None, tag)
