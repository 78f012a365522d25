"""What to show a registry that asks who we are: Docker's token specification and basic auth."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from yarl import URL

from mirror.config.endpoint import Auth, Endpoint
from mirror.transfer.challenge import Challenge
from mirror.transfer.upstream_error import UpstreamError, shown
from mirror.transfer.upstream_http import UpstreamHttp, without_certificate

_MAX_TOKEN_BYTES = 64 * 1024
_MAX_KEPT = 1000
_LEAST_SECONDS = 60.0
"""The specification's default and least validity."""

_EARLY = 10.0
"""Seconds before its end at which a token is not used any more."""

_VISIBLE = re.compile(r"[\x21-\x7e]+")


@dataclass(slots=True)
class _Entry:
    lock: asyncio.Lock
    header: str | None = None
    ends: float = 0.0


class Credentials:
    """Authorization headers by endpoint and repository, kept until they end.

    Requests for the layers of one image run side by side; they share one token request.
    """

    def __init__(self, http: UpstreamHttp, now: Callable[[], float]) -> None:
        """Keeps headers by the clock `now` (seconds, any origin)."""
        self._http = http
        self._now = now
        self._entries: dict[tuple[Endpoint, str], _Entry] = {}

    def header(self, endpoint: Endpoint, repository: str) -> str | None:
        """The Authorization header that worked lately, or None."""
        entry = self._entries.get((endpoint, repository))
        return None if entry is None or entry.ends <= self._now() else entry.header

    async def renew(
        self,
        endpoint: Endpoint,
        repository: str,
        challenges: Sequence[Challenge],
        refused: str | None,
    ) -> str:
        """The header that answers a 401.

        Args:
            endpoint: Who said 401.
            repository: As it is called there.
            challenges: What it asked for.
            refused: The header it refused, or None when there was none.

        Raises:
            UpstreamError: It asks for something that we have not.
        """
        entry = self._entry((endpoint, repository))
        async with entry.lock:
            current = self.header(endpoint, repository)
            if current is not None and current != refused:
                return current
            entry.header = None
            for challenge in challenges:
                if challenge.scheme == "bearer":
                    token, seconds = await self._token(endpoint, repository, challenge)
                    entry.header = f"Bearer {token}"
                    entry.ends = self._now() + max(seconds, _LEAST_SECONDS) - _EARLY
                    return entry.header
            if any(challenge.scheme == "basic" for challenge in challenges):
                basic = endpoint.auth.basic if endpoint.auth is not None else None
                if basic is None or basic == refused:
                    state = "needs" if basic is None else "refused the"
                    raise UpstreamError(
                        f"{shown(endpoint.url)} {state} username and password: see"
                        f" configs.{URL(endpoint.url).authority}.auth in registries.yaml"
                    )
                entry.header, entry.ends = basic, float("inf")
                return basic
        raise UpstreamError(f"{shown(endpoint.url)}: 401 without a challenge that is understood")

    def _entry(self, key: tuple[Endpoint, str]) -> _Entry:
        entry = self._entries.get(key)
        if entry is None:
            idle = (k for k, v in self._entries.items() if not v.lock.locked())
            if len(self._entries) >= _MAX_KEPT and (oldest := next(idle, None)) is not None:
                del self._entries[oldest]
            entry = self._entries[key] = _Entry(asyncio.Lock())
        return entry

    async def _token(
        self, endpoint: Endpoint, repository: str, challenge: Challenge
    ) -> tuple[str, float]:
        realm = _realm(endpoint, challenge)
        fields = {"scope": challenge.parameters.get("scope") or f"repository:{repository}:pull"}
        if service := challenge.parameters.get("service"):
            fields["service"] = service
        auth = endpoint.auth or Auth()
        headers = {"Accept": "application/json"}
        tls = endpoint.tls
        if realm.origin() != URL(endpoint.url).origin():
            tls = without_certificate(tls)
        if auth.identity_token:
            fields |= {
                "grant_type": "refresh_token",
                "refresh_token": auth.identity_token,
                "client_id": "spegla",
            }
            response = await self._http.request("POST", realm, tls, headers, fields)
        else:
            if auth.basic is not None:
                headers["Authorization"] = auth.basic
                fields["account"] = auth.username
            response = await self._http.request("GET", realm.update_query(fields), tls, headers)
        async with response:
            if response.status != 200:
                raise UpstreamError(f"token service {shown(realm)}: status {response.status}")
            return _read_token(await self._http.body(response, _MAX_TOKEN_BYTES), realm)


def _realm(endpoint: Endpoint, challenge: Challenge) -> URL:
    try:
        realm = URL(challenge.parameters.get("realm", "")).with_user(None).with_fragment(None)
    except ValueError:
        realm = URL()
    if not realm.host or realm.scheme not in ("http", "https"):
        raise UpstreamError(f"{shown(endpoint.url)}: its token service is no HTTP address")
    if realm.scheme == "http" and endpoint.url.startswith("https:"):
        raise UpstreamError(
            f"{shown(endpoint.url)}: its token service {shown(realm)} is not encrypted"
        )
    return realm


def _read_token(body: bytes, realm: URL) -> tuple[str, float]:
    try:
        answer: Any = json.loads(body)
        token = answer.get("token") or answer.get("access_token")
        seconds = answer.get("expires_in")
    except (ValueError, RecursionError, AttributeError):
        token = seconds = None
    # It goes into a header: anything else than visible ASCII could end that and begin another.
    if not isinstance(token, str) or _VISIBLE.fullmatch(token) is None:
        raise UpstreamError(f"token service {shown(realm)}: no token in its answer")
    valid = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return token, min(float(seconds), 86400.0) if valid else _LEAST_SECONDS
