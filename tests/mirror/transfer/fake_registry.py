"""A registry that does what a test tells it, on a real socket."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from mirror.config.endpoint import Auth, Endpoint, Rewrite, Tls
from mirror.oci.digest import Digest
from mirror.oci.media import OCI_MANIFEST

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class FakeRegistry:
    """Where it listens, and what it was asked so far."""

    url: str
    requests: list[web.BaseRequest] = field(default_factory=list)

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.requests]

    @property
    def authorizations(self) -> list[str | None]:
        return [request.headers.get("Authorization") for request in self.requests]

    def endpoint(
        self,
        auth: Auth | None = None,
        tls: Tls | None = None,
        rewrites: tuple[Rewrite, ...] = (),
        default: bool = True,
    ) -> Endpoint:
        return Endpoint(f"{self.url}/v2", False, rewrites, auth, tls, default)


@asynccontextmanager
async def serve(
    handler: Handler, context: ssl.SSLContext | None = None
) -> AsyncIterator[FakeRegistry]:
    """Answers every request with `handler`, on a free port of this machine."""
    registry = FakeRegistry("")

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        registry.requests.append(request)
        return await handler(request)

    # Handlers that hang are cancelled with their connection and at the end of the test.
    runner = web.ServerRunner(web.Server(answer, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        registry.url = f"{'https' if context else 'http'}://127.0.0.1:{port}"
        yield registry
    finally:
        await runner.cleanup()


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same endpoints for every registry."""

    items: tuple[Endpoint, ...]

    def endpoints(self, registry: str) -> tuple[Endpoint, ...]:
        del registry
        return self.items


def holding(*pieces: bytes) -> Handler:
    """Serves each piece by its digest, and the first under every tag; with Range."""
    held = {Digest.of(piece): piece for piece in pieces}

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        wanted = request.path.rpartition("/")[2]
        manifest = "/manifests/" in request.path
        piece = held.get(Digest(wanted), None if ":" in wanted else pieces[0])
        if piece is None:
            return web.Response(status=404)
        headers: dict[str, str] = {"Docker-Content-Digest": Digest.of(piece)}
        if manifest:
            headers["Content-Type"] = OCI_MANIFEST
        return part_of(piece, request, headers)

    return handler


def part_of(
    piece: bytes, request: web.BaseRequest, headers: dict[str, str] | None = None
) -> web.Response:
    start = request.http_range.start or 0
    if start == 0:
        return web.Response(body=piece, headers=headers)
    stated = {"Content-Range": f"bytes {start}-{len(piece) - 1}/{len(piece)}"}
    return web.Response(status=206, body=piece[start:], headers={**(headers or {}), **stated})


async def cut_after(
    piece: bytes, count: int, request: web.BaseRequest, *, hang: bool = False
) -> web.StreamResponse:
    """Announces the rest of `piece`, sends `count` bytes of it, and closes or hangs."""
    start = request.http_range.start or 0
    response = web.StreamResponse(status=206 if start else 200)
    response.content_length = len(piece) - start
    if start:
        response.headers["Content-Range"] = f"bytes {start}-{len(piece) - 1}/{len(piece)}"
    await response.prepare(request)
    await response.write(piece[start : start + count])
    if hang:
        await asyncio.sleep(60)
    assert request.transport is not None
    request.transport.close()
    return response
