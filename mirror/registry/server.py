"""The HTTP server of a node: pull API, health, metrics; and who may call what."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from mirror.errors import SetupError
from mirror.metrics import CONTENT_TYPE, Metrics
from mirror.oci.errors import NameUnknown, OciError, Unauthorized
from mirror.registry.policy import Policy
from mirror.registry.pull import PullApi
from mirror.transfer.client import MIRRORED_HEADER

log = logging.getLogger("spegla.registry")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_DRAIN_SECONDS = 5.0
_MAX_LINE = 8 * 1024


class Endpoint:
    """Everything that a node answers over HTTP."""

    def __init__(
        self,
        pull: PullApi,
        policy: Policy,
        metrics: Metrics,
        obstacle: Callable[[], str | None],
        *,
        show_metrics: bool,
    ) -> None:
        """Wires the routes.

        Args:
            pull: Handlers of `/v2`.
            policy: Says who may call.
            metrics: Counts, and what `/metrics` shows.
            obstacle: What keeps this node from serving, for `/readyz`; None when nothing does.
            show_metrics: Whether `/metrics` is served here (`supervisor-metrics`).
        """
        self._policy = policy
        self._metrics = metrics
        self._obstacle = obstacle
        self.app = web.Application(middlewares=[self._observe, self._guard], client_max_size=1024)
        add = self.app.router.add_route
        add("*", "/v2", pull.version)
        add("*", "/v2/", pull.version)
        add("*", "/v2/{rest:.+}", pull.pull)
        add("GET", "/livez", self._livez)
        add("GET", "/readyz", self._readyz)
        if show_metrics:
            add("GET", "/metrics", self._render_metrics)
        add("*", "/{rest:.*}", _nothing_here)

    @web.middleware
    async def _observe(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Measures a request and writes out its error, whatever it was."""
        name = _handler_name(request)
        inflight = self._metrics.requests_inflight.labels(name)
        inflight.inc()
        started = time.perf_counter()
        try:
            response = await handler(request)
        except OciError as error:
            response = _error_response(error)
        except web.HTTPException as error:
            response = _error_response(NameUnknown(error.reason), status=error.status)
        except Exception:
            log.exception("%s %s failed", request.method, request.path_qs)
            response = _error_response(OciError("internal error; the node's log tells more"))
        finally:
            inflight.dec()
        seconds = time.perf_counter() - started
        size = response.content_length or 0
        self._metrics.served(name, request.method, response.status, size, seconds)
        log.debug(
            "%s %s",
            request.method,
            request.path_qs,
            extra={
                "peer": request.remote,
                "status": response.status,
                "bytes": size,
                "seconds": f"{seconds:.4f}",
            },
        )
        return response

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Lets `/v2` and `/metrics` to holders of a client certificate only."""
        if self._policy.certificate and not request.path.startswith(("/livez", "/readyz")):
            transport = request.transport
            if transport is None or not transport.get_extra_info("peercert"):
                raise Unauthorized("a client certificate of this cluster is needed")
        return await handler(request)

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _readyz(self, _: web.Request) -> web.Response:
        obstacle = self._obstacle()
        if obstacle is not None:
            return web.Response(status=503, text=f"not ready: {obstacle}")
        return web.Response(text="ok")

    async def _render_metrics(self, _: web.Request) -> web.Response:
        return _metrics_response(self._metrics)


def metrics_app(metrics: Metrics) -> web.Application:
    """`/metrics` alone, for an address of its own (`metrics-address`)."""

    async def render(_: web.Request) -> web.Response:
        return _metrics_response(metrics)

    app = web.Application()
    app.router.add_get("/metrics", render)
    return app


@asynccontextmanager
async def serve(
    app: web.Application, port: int, tls: ssl.SSLContext | None, host: str | None = None
) -> AsyncIterator[None]:
    """Listens while the context lasts; at its end running answers get 5 s to finish.

    Args:
        app: What to serve.
        port: TCP port.
        tls: For HTTPS; None for plain HTTP.
        host: Address to listen on; None for all, IPv4 and IPv6.

    Raises:
        SetupError: The port is taken or may not be used.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=_DRAIN_SECONDS,
        max_line_size=_MAX_LINE,
        max_field_size=_MAX_LINE,
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, ssl_context=tls, backlog=1024).start()
        except OSError as error:
            where = f"{host or '*'}:{port}"
            raise SetupError(
                f"cannot listen on {where}: {error.strerror or error}; stop what uses the port, "
                "or choose another registry-port on every node"
            ) from error
        yield
    finally:
        async with asyncio.timeout(2 * _DRAIN_SECONDS):
            await runner.cleanup()


async def _nothing_here(request: web.Request) -> web.StreamResponse:
    raise NameUnknown(f"nothing is served at {request.path[:200]!r}")


def _metrics_response(metrics: Metrics) -> web.Response:
    return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})


def _handler_name(request: web.Request) -> str:
    """The handler label that Spegel's dashboards know."""
    path = request.path
    if path in ("/v2", "/v2/"):
        return "v2"
    if path.startswith("/v2/"):
        if MIRRORED_HEADER not in request.headers:
            return "mirror"
        return "blob" if "/blobs/" in path else "manifest"
    name = path[1:]
    return name if name in ("livez", "readyz", "metrics") else "registry"


def _error_response(error: OciError, status: int | None = None) -> web.Response:
    return web.Response(
        status=status or error.status,
        body=error.body(),
        headers={"Content-Type": "application/json", **error.headers},
    )
