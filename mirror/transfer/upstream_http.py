"""Single HTTP exchanges with registries and token services: bounds, TLS, proxies, errors."""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from mirror.config.endpoint import Tls, is_localhost
from mirror.transfer.upstream_error import UpstreamError, shown

MIN_CHUNK = 64 * 1024
"""Least bytes handed on at once: each chunk costs a thread hop to hash and write it."""

_READ_BUFFER = 256 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an upstream may take; all in seconds but `attempts`."""

    connect: float = 5.0
    """For a free slot of the pool, DNS, TCP and TLS."""

    first_byte: float = 15.0
    """From there to the response's headers."""

    stall: float = 15.0
    """Between two reads of a body, and for a manifest's or token's body as a whole."""

    attempts: int = 4
    """Tries in a row without progress, the first included."""

    backoff: float = 0.5
    """Before the first repetition; doubles with each."""

    retry_after: float = 10.0
    """Longest Retry-After that is waited for."""


class UpstreamHttp:
    """One connection pool for all upstreams; an async context manager."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._contexts: dict[Tls, ssl.SSLContext] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, connect=self.bounds.connect),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "spegla", "Accept-Encoding": "identity"},
            read_bufsize=_READ_BUFFER,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        url: URL,
        tls: Tls | None,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
    ) -> aiohttp.ClientResponse:
        """Sends one request and waits for the headers; follows nothing, repeats nothing.

        The caller closes or releases the response.

        Raises:
            UpstreamError: No answer, or none within the bounds.
        """
        if self._session is None:
            raise RuntimeError("the upstream client is used outside of its context")
        context = await self._context(tls)
        bounds = self.bounds
        try:
            async with asyncio.timeout(bounds.connect + bounds.first_byte):
                return await self._session.request(
                    method, url, headers=headers, data=form, ssl=context,
                    proxy=_proxy(url), allow_redirects=False,
                )  # fmt: skip
        except aiohttp.ConnectionTimeoutError as error:
            raise UpstreamError(
                f"{shown(url)}: no connection within {bounds.connect:g} s"
            ) from error
        except TimeoutError as error:
            raise UpstreamError(
                f"{shown(url)}: no answer within {bounds.first_byte:g} s"
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamError(f"{shown(url)}: {_cause(error)}") from error

    async def body(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        """Reads a small body as a whole.

        Raises:
            UpstreamError: It is longer than `limit` bytes, was cut or took too long.
        """
        parts = bytearray()
        try:
            async with asyncio.timeout(self.bounds.stall):
                async for part in self.chunks(response):
                    parts += part
                    if len(parts) > limit:
                        raise UpstreamError(f"{shown(response.url)}: more than {limit} bytes")
        except TimeoutError as error:
            raise UpstreamError(
                f"{shown(response.url)}: no whole answer within {self.bounds.stall:g} s"
            ) from error
        return bytes(parts)

    async def chunks(self, response: aiohttp.ClientResponse) -> AsyncGenerator[memoryview]:
        """The body in chunks of at least `MIN_CHUNK` bytes, the last excepted.

        Raises:
            UpstreamError: The body was cut or stalled; all that came before it was yielded.
        """
        waiting = bytearray()
        problem: UpstreamError | None = None
        while problem is None:
            try:
                async with asyncio.timeout(self.bounds.stall):
                    data = await response.content.readany()
            except TimeoutError:
                problem = UpstreamError(
                    f"{shown(response.url)}: nothing for {self.bounds.stall:g} s in mid-body"
                )
            except (aiohttp.ClientError, OSError, ValueError) as error:
                problem = UpstreamError(f"{shown(response.url)}: cut, {_cause(error)}")
            else:
                if not data:
                    break
                if not waiting and len(data) >= MIN_CHUNK:
                    yield memoryview(data)
                    continue
                waiting += data
                if len(waiting) >= MIN_CHUNK:
                    yield memoryview(waiting)
                    waiting = bytearray()
        if waiting:
            yield memoryview(waiting)
        if problem is not None:
            raise problem

    async def _context(self, tls: Tls | None) -> ssl.SSLContext | bool:
        if tls is None or tls == Tls():
            return True
        if tls not in self._contexts:
            try:
                self._contexts[tls] = await asyncio.to_thread(_make_context, tls)
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                raise UpstreamError(
                    f"TLS files {tls.ca}, {tls.cert}, {tls.key} can't be used: {error}"
                ) from error
        return self._contexts[tls]


def without_certificate(tls: Tls | None) -> Tls | None:
    """What a host that an endpoint sent us to may have: its CA, as in containerd, but no proof.

    A client certificate is a credential, and credentials stay with the host they are for.
    """
    return None if tls is None else replace(tls, cert=None, key=None)


def _make_context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if tls.ca is not None:
        context.load_verify_locations(tls.ca)
    if tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key)
    if tls.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _proxy(url: URL) -> str | None:
    """The proxy of `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`; none for this machine, as in Go."""
    host = url.host or ""
    if is_localhost(host) or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(url.scheme)


def _cause(error: Exception) -> str:
    # aiohttp puts the whole URL with its query into some messages; the system's are safe.
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"certificate not accepted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return str(error.os_error)
    if isinstance(error, aiohttp.InvalidURL):
        return "malformed URL"
    if isinstance(error, OSError):
        return str(error)
    return type(error).__name__
