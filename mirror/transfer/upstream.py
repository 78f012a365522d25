"""The upstream registries, for a node that stores what it pulls by itself."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Protocol, Self

import aiohttp

from mirror.config.endpoint import Endpoint
from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest, InvalidDigest
from mirror.oci.manifest import media_type_of
from mirror.oci.media import MANIFEST_TYPES, MAX_MANIFEST_BYTES
from mirror.transfer.blob_download import BlobDownload
from mirror.transfer.memory import Manifest
from mirror.transfer.registry_client import RegistryClient, content_url, first_of
from mirror.transfer.upstream_error import UpstreamError, shown
from mirror.transfer.upstream_http import Bounds, UpstreamHttp

log = logging.getLogger("spegla.upstream")

_ACCEPT = {"Accept": ", ".join(sorted(MANIFEST_TYPES))}


class Endpoints(Protocol):
    """Where to ask; `mirror.config.registries.Registries` is one."""

    def endpoints(self, registry: str) -> tuple[Endpoint, ...]:
        """Where images of a registry can be fetched, in the order to ask."""
        ...


class Upstream:
    """Fetches from each registry's endpoints, in their order; an async context manager.

    Every method raises `NotHere` when all endpoints say so, and `UpstreamError` when at least
    one of them failed otherwise.
    """

    def __init__(
        self,
        registries: Endpoints,
        bounds: Bounds | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Asks what `registries` lists; `now` is the clock by which tokens end, in seconds."""
        self._registries = registries
        self._http = UpstreamHttp(bounds or Bounds())
        self._client = RegistryClient(self._http, now)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def resolve(self, registry: str, repository: str, tag: str) -> Descriptor:
        """What a tag points to; by HEAD, or by GET where HEAD does not tell all of it."""

        async def ask(endpoint: Endpoint) -> Descriptor:
            try:
                found = await self._head(endpoint, registry, repository, tag)
            except UpstreamError as error:
                log.debug("HEAD failed, trying GET: %s", error)
                found = None
            if found is not None:
                return found
            manifest = await self._get(endpoint, registry, repository, tag)
            return Descriptor(manifest.digest, len(manifest.data), manifest.media_type)

        endpoints = self._registries.endpoints(registry)
        return await first_of(endpoints, f"{registry}/{repository}:{tag}", ask)

    async def manifest(self, registry: str, repository: str, wanted: Digest | str) -> Manifest:
        """A manifest by digest or tag, verified."""

        async def ask(endpoint: Endpoint) -> Manifest:
            return await self._get(endpoint, registry, repository, wanted)

        endpoints = self._registries.endpoints(registry)
        return await first_of(endpoints, f"{registry}/{repository} {wanted}", ask)

    @asynccontextmanager
    async def open_blob(
        self, registry: str, repository: str, digest: Digest, offset: int = 0
    ) -> AsyncIterator[BlobDownload]:
        """A blob's bytes from `offset` on; see `BlobDownload`. Who reads them verifies them."""
        endpoints = self._registries.endpoints(registry)
        download = BlobDownload(
            self._http,
            self._client,
            endpoints,
            registry=registry,
            repository=repository,
            digest=digest,
            offset=offset,
        )
        try:
            await download.open()
            yield download
        finally:
            await download.close()

    async def _head(
        self, endpoint: Endpoint, registry: str, repository: str, tag: str
    ) -> Descriptor | None:
        name = endpoint.repository(repository)
        url = content_url(endpoint, registry, name, "manifests", tag)
        async with self._client.ask("HEAD", endpoint, url, name, _ACCEPT) as response:
            digest = _stated_digest(response)
            size = response.content_length
            if digest is None or not size or response.content_type not in MANIFEST_TYPES:
                return None
            return Descriptor(digest, size, response.content_type)

    async def _get(
        self, endpoint: Endpoint, registry: str, repository: str, wanted: Digest | str
    ) -> Manifest:
        name = endpoint.repository(repository)
        url = content_url(endpoint, registry, name, "manifests", wanted)
        async with self._client.ask("GET", endpoint, url, name, _ACCEPT) as response:
            data = await self._http.body(response, MAX_MANIFEST_BYTES)
        digest = Digest.of(data)
        expected = wanted if isinstance(wanted, Digest) else _stated_digest(response)
        if expected is not None and digest != expected:
            raise UpstreamError(f"{shown(url)}: {len(data)} bytes that hash to {digest}")
        media_type = response.content_type
        if media_type not in MANIFEST_TYPES:
            stated = media_type_of(data)
            if stated is None:
                raise UpstreamError(f"{shown(url)}: {media_type[:100]!r} is no manifest")
            media_type = stated
        return Manifest(digest=digest, media_type=media_type, data=data)


def _stated_digest(response: aiohttp.ClientResponse) -> Digest | None:
    try:
        return Digest.parse(response.headers.get("Docker-Content-Digest", ""))
    except InvalidDigest:
        return None
