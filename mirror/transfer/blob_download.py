"""A blob on its way from an upstream registry, which survives cuts."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, aclosing

import aiohttp

from mirror.config.endpoint import Endpoint
from mirror.oci.digest import Digest
from mirror.transfer.registry_client import RegistryClient, content_url, first_of
from mirror.transfer.upstream_error import UpstreamError, shown
from mirror.transfer.upstream_http import UpstreamHttp

log = logging.getLogger("spegla.upstream")

_PROGRESS = 1024 * 1024
"""Bytes between two cuts that make the second a new trouble and not the old one going on."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


class BlobDownload:
    """An open blob of the first endpoint that has it.

    Attributes:
        total: The blob's size in bytes, or None when the endpoint does not tell.
        offset: Bytes of the blob passed on by now, those before the start included.
    """

    def __init__(
        self,
        http: UpstreamHttp,
        client: RegistryClient,
        endpoints: Iterable[Endpoint],
        *,
        registry: str,
        repository: str,
        digest: Digest,
        offset: int,
    ) -> None:
        self.total: int | None = None
        self.offset = offset
        self._http = http
        self._client = client
        self._endpoints = deque(endpoints)
        self._registry = registry
        self._repository = repository
        self._digest = digest
        self._response: aiohttp.ClientResponse | None = None
        self._skip = 0
        self._exchange = AsyncExitStack()

    def __repr__(self) -> str:
        return f"<BlobDownload {self._digest} {self.offset}/{self.total}>"

    async def open(self) -> None:
        """Asks the endpoints for what is missing.

        Raises:
            NotHere: None of them has the blob.
            UpstreamError: One of them gave no usable answer.
        """
        what = f"{self._registry}/{self._repository} {self._digest}"
        await first_of(self._endpoints, what, self._open_at)

    async def close(self) -> None:
        """Ends the connection; may be called more than once."""
        self._response = None
        await self._exchange.aclose()
        self._exchange = AsyncExitStack()

    async def chunks(self) -> AsyncGenerator[memoryview]:
        """The bytes from the start to the end, re-opened by Range at each cut.

        Chunks have at least `upstream_http.MIN_CHUNK` bytes, except before a cut or the end.

        Raises:
            NotHere: The endpoint lost the blob meanwhile.
            UpstreamError: It was cut too often in a row.
        """
        failures, settled = 0, self.offset
        while True:
            try:
                async with aclosing(self._body()) as body:
                    async for chunk in body:
                        self.offset += len(chunk)
                        yield chunk
                if self.total in (None, self.offset):
                    return
                cut = UpstreamError(f"{self!r}: ended early")
            except UpstreamError as error:
                cut = error
            if self.offset - settled >= _PROGRESS:
                failures = 0
            settled = self.offset
            failures = await self._again(failures + 1, cut)

    async def _open_at(self, endpoint: Endpoint) -> None:
        await self.close()
        name = endpoint.repository(self._repository)
        url = content_url(endpoint, self._registry, name, "blobs", self._digest)
        headers = {"Range": f"bytes={self.offset}-"} if self.offset else {}
        asked = self._client.ask("GET", endpoint, url, name, headers)
        response = await self._exchange.enter_async_context(asked)
        try:
            skip, total = landing(
                response.status,
                response.headers.get("Content-Range"),
                response.content_length,
                self.offset,
            )
            if self.total is not None and total not in (None, self.total):
                raise ValueError(f"{total} bytes in all, it was {self.total} before")
        except ValueError as error:
            await self.close()
            raise UpstreamError(f"{shown(url)}: {error}") from error
        self._response, self._skip = response, skip
        self.total = total if self.total is None else self.total

    async def _body(self) -> AsyncGenerator[memoryview]:
        if self._response is None:
            raise RuntimeError(f"{self!r} is not open")
        async with aclosing(self._http.chunks(self._response)) as chunks:
            async for whole in chunks:
                chunk = whole[self._skip :]
                self._skip -= len(whole) - len(chunk)
                if chunk:
                    yield chunk

    async def _again(self, failures: int, cut: UpstreamError) -> int:
        """Opens the rest; returns how often it has failed in a row by now."""
        bounds = self._http.bounds
        while failures < bounds.attempts:
            log.debug("%r: cut %d, %s", self, failures, cut)
            await self.close()
            await asyncio.sleep(bounds.backoff * 2 ** (failures - 1))
            if failures > 1:
                self._endpoints.rotate(-1)
            try:
                await self.open()
            except UpstreamError as error:
                cut = error
                failures += 1
            else:
                return failures
        raise UpstreamError(f"given up at {self.offset} of {self.total} bytes: {cut}") from cut


def landing(
    status: int, content_range: str | None, content_length: int | None, offset: int
) -> tuple[int, int | None]:
    """Where in the blob the body of a response begins.

    Args:
        status: 200, or 206.
        content_range: That header.
        content_length: Bytes of the body, when told.
        offset: What was asked for.

    Returns:
        The bytes to leave out at the front, and the blob's size when told.

    Raises:
        ValueError: The body does not hold what was asked for.
    """
    if status == 200:
        if content_length is not None and content_length < offset:
            raise ValueError(f"{content_length} bytes in all, asked from {offset} on")
        return offset, content_length
    match = _CONTENT_RANGE.fullmatch(content_range or "")
    if match is None or int(match[1]) != offset or int(match[2]) < offset:
        raise ValueError(f"asked from {offset} on, got {(content_range or 'nothing')[:100]!r}")
    return 0, None if match[3] == "*" else int(match[3])
