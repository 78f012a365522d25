"""What a node answers over HTTP, and to whom."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from mirror.metrics import CONTENT_TYPE, Metrics
from mirror.oci.errors import NameUnknown, OciError, Unauthorized
from mirror.registry.policy import Policy
from mirror.registry.pull import PullApi
from mirror.transfer.client import MIRRORED_HEADER

log = logging.getLogger("spegla.registry")

_PULLS = frozenset({"mirror", "manifest", "blob"})
_METHODS = frozenset({"GET", "HEAD"})
_OPEN = frozenset({"livez", "readyz"})
_OTHERS = {"/v2": "v2", "/v2/": "v2", "/livez": "livez", "/readyz": "readyz", "/metrics": "metrics"}


class Endpoint:
    """Everything that a node answers over HTTP.

    One function instead of an application with routes and middlewares: manifests are asked for
    thousands of times a second, and half of their time went there (docs/performance.md).
    """

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
        self._pull = pull
        self._policy = policy
        self._metrics = metrics
        self._obstacle = obstacle
        self._show_metrics = show_metrics

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request, measures it, and writes out its error, whatever it was."""
        name = _handler_name(request)
        started = time.perf_counter()
        with self._metrics.inflight(name):
            try:
                response = await self._answer(request, name)
            except OciError as error:
                response = _error_response(error)
            except Exception:
                log.exception("%s %s failed", request.method, request.path_qs)
                response = _error_response(OciError("internal error; the node's log tells more"))
        seconds = time.perf_counter() - started
        size = response.content_length or 0
        method = request.method if request.method in _METHODS else "other"
        self._metrics.served(name, method, response.status, size, seconds)
        if log.isEnabledFor(logging.DEBUG):
            _log_request(request, response, size, seconds)
        return response

    async def _answer(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        if name in _OPEN:
            return self._livez() if name == "livez" else self._readyz()
        if self._policy.certificate and not _shows_certificate(request):
            raise Unauthorized("a client certificate of this cluster is needed")
        if name in _PULLS:
            return await self._pull.pull(request)
        if name == "v2":
            return self._pull.version(request)
        if name == "metrics" and self._show_metrics:
            return _metrics_response(self._metrics)
        raise NameUnknown(f"nothing is served at {request.path[:200]!r}")

    def _livez(self) -> web.Response:
        return web.Response(text="ok")

    def _readyz(self) -> web.Response:
        obstacle = self._obstacle()
        if obstacle is not None:
            return web.Response(status=503, text=f"not ready: {obstacle}")
        return web.Response(text="ok")


def metrics_handler(metrics: Metrics) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    """`/metrics` alone, for an address of its own (`metrics-address`)."""

    async def handle(request: web.BaseRequest) -> web.Response:
        if request.path != "/metrics":
            return _error_response(NameUnknown(f"nothing is served at {request.path[:200]!r}"))
        return _metrics_response(metrics)

    return handle


def _handler_name(request: web.BaseRequest) -> str:
    """The handler label that Spegel's dashboards know."""
    path = request.path
    if path.startswith("/v2/") and len(path) > 4:
        if MIRRORED_HEADER not in request.headers:
            return "mirror"
        return "blob" if "/blobs/" in path else "manifest"
    return _OTHERS.get(path, "registry")


def _shows_certificate(request: web.BaseRequest) -> bool:
    """Whether the caller proved to hold a certificate of our CA; TLS has checked it."""
    transport = request.transport
    return transport is not None and bool(transport.get_extra_info("peercert"))


def _metrics_response(metrics: Metrics) -> web.Response:
    return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})


def _error_response(error: OciError) -> web.Response:
    return web.Response(
        status=error.status,
        body=error.body(),
        headers={"Content-Type": "application/json", **error.headers},
    )


def _log_request(
    request: web.BaseRequest, response: web.StreamResponse, size: int, seconds: float
) -> None:
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
