"""One question to one endpoint: who we are, where it sends us, and when it is busy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import aiohttp
from yarl import URL

from mirror.config.endpoint import Endpoint
from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.oci.reference import is_repository, is_tag
from mirror.transfer.bearer import Credentials
from mirror.transfer.challenge import parse_challenges
from mirror.transfer.upstream_error import UpstreamError, shown
from mirror.transfer.upstream_http import UpstreamHttp, without_certificate

log = logging.getLogger("spegla.upstream")

T = TypeVar("T")

_MAX_REDIRECTS = 5
_BUSY = frozenset({429, 503})


class RegistryClient:
    """Asks endpoints for manifests and blobs."""

    def __init__(self, http: UpstreamHttp, now: Callable[[], float]) -> None:
        """Asks through `http`; `now` is the clock by which tokens end, in seconds."""
        self._http = http
        self._credentials = Credentials(http, now)

    @asynccontextmanager
    async def ask(
        self, method: str, endpoint: Endpoint, url: URL, repository: str, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Sends a request and gives the response with status 200 or 206.

        Args:
            method: GET or HEAD.
            endpoint: Whom to ask.
            url: What to ask for, see `content_url`.
            repository: What the token is for, as the endpoint calls it.
            headers: Of the request, without Authorization.

        Raises:
            NotHere: The endpoint does not have it.
            UpstreamError: It gave no usable answer.
        """
        response = await self._patiently(method, endpoint, url, repository, headers)
        async with response:
            if response.status == 404:
                raise NotHere(f"{shown(url)}: not found")
            if response.status not in (200, 206):
                raise UpstreamError(f"{shown(response.url)}: status {response.status}")
            yield response

    async def _patiently(
        self, method: str, endpoint: Endpoint, url: URL, repository: str, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        bounds = self._http.bounds
        attempt = 0
        while True:
            response = await self._authorized(method, endpoint, url, repository, headers)
            attempt += 1
            if response.status not in _BUSY or attempt >= bounds.attempts:
                return response
            stated = response.headers.get("Retry-After")
            if stated is None and response.status != 429:
                return response
            pause = retry_after(stated, datetime.now(UTC))
            if pause is None:
                pause = bounds.backoff * 2 ** (attempt - 1)
            if pause > bounds.retry_after:
                return response
            response.release()
            log.debug("%s is busy, trying again in %.1f s", shown(url), pause)
            await asyncio.sleep(pause)

    async def _authorized(
        self, method: str, endpoint: Endpoint, url: URL, repository: str, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        shown_header = self._credentials.header(endpoint, repository)
        response = await self._follow(method, endpoint, url, headers, shown_header)
        # A redirect's target that says 401 is none of the endpoint's business.
        if response.status != 401 or response.url.origin() != url.origin():
            return response
        response.release()
        challenges = parse_challenges(response.headers.getall("WWW-Authenticate", []))
        fresh = await self._credentials.renew(endpoint, repository, challenges, shown_header)
        return await self._follow(method, endpoint, url, headers, fresh)

    async def _follow(
        self,
        method: str,
        endpoint: Endpoint,
        url: URL,
        headers: Mapping[str, str],
        authorization: str | None,
    ) -> aiohttp.ClientResponse:
        home = url.origin()
        for _ in range(_MAX_REDIRECTS + 1):
            at_home = url.origin() == home
            sent = dict(headers)
            if at_home and authorization is not None:
                sent["Authorization"] = authorization
            tls = endpoint.tls if at_home else without_certificate(endpoint.tls)
            response = await self._http.request(method, url, tls, sent)
            if response.status not in (301, 302, 303, 307, 308):
                return response
            response.release()
            url = _target(url, response.headers.get("Location", ""))
        raise UpstreamError(f"{shown(url)}: more than {_MAX_REDIRECTS} redirects")


def content_url(
    endpoint: Endpoint, registry: str, repository: str, kind: str, wanted: Digest | str
) -> URL:
    """Where an endpoint has a piece of content.

    Args:
        endpoint: Whose URL.
        registry: Of the image; endpoints that mirror several are told by `?ns=`, as containerd
            does.
        repository: As the endpoint calls it.
        kind: `manifests` or `blobs`.
        wanted: A digest, or a tag.

    Raises:
        UpstreamError: The repository or tag is malformed, perhaps by a rewrite.
    """
    if not is_repository(repository):
        raise UpstreamError(f"{shown(endpoint.url)}: {repository[:100]!r} is no repository")
    if not isinstance(wanted, Digest) and not is_tag(wanted):
        raise UpstreamError(f"{shown(endpoint.url)}: {wanted[:100]!r} is no tag")
    url = URL(f"{endpoint.url}/{repository}/{kind}/{wanted}")
    return url if endpoint.default else url.with_query(ns=registry)


async def first_of(
    endpoints: Iterable[Endpoint], what: str, ask: Callable[[Endpoint], Awaitable[T]]
) -> T:
    """The answer of the first endpoint that has one.

    Raises:
        NotHere: All say that they do not have it.
        UpstreamError: None has an answer, and one of them at least failed.
    """
    failures: list[UpstreamError] = []
    for endpoint in endpoints:
        try:
            return await ask(endpoint)
        except NotHere:
            continue
        except UpstreamError as error:
            log.debug("%s: %s", what, error)
            failures.append(error)
    if not failures:
        raise NotHere(f"{what}: not found upstream")
    told = "; ".join(str(failure) for failure in failures)
    raise UpstreamError(f"{what}: {told}") from failures[-1]


def retry_after(header: str | None, now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for, or None when it says nothing sensible."""
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdigit():
        return float(header.strip()[:9])
    try:
        when = parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())


def _target(url: URL, location: str) -> URL:
    try:
        target = url.join(URL(location, encoded=True)).with_user(None)
        usable = bool(location and target.host) and target.scheme in ("http", "https")
    except ValueError:
        usable = False
    if not usable:
        raise UpstreamError(f"{shown(url)}: redirect without a usable address")
    return target
