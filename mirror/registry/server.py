"""Listening: an aiohttp server on a port, ended in order."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mirror.errors import SetupError

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_DRAIN_SECONDS = 5.0

_IDLE_SECONDS = 75.0
"""Longer than peers and containerd keep theirs (30 s), so that they close first. What is left then
is of a client that a cut network or a crash has taken away: aiohttp would keep it for an hour."""

_MAX_LINE = 8 * 1024


@asynccontextmanager
async def serve(
    handler: Handler,
    port: int,
    tls: ssl.SSLContext | None,
    host: str | None = None,
    *,
    drain: float = _DRAIN_SECONDS,
    idle: float = _IDLE_SECONDS,
) -> AsyncIterator[None]:
    """Listens while the context lasts; at its end running answers get some time to finish.

    Args:
        handler: Answers every request.
        port: TCP port.
        tls: For HTTPS; None for plain HTTP.
        host: Address to listen on; None for all, IPv4 and IPv6.
        drain: Seconds for running answers; then their connections are closed.
        idle: Seconds without a request after which a connection is closed.

    Raises:
        SetupError: The port is taken or may not be used.
    """
    server = web.Server(
        handler,
        access_log=None,
        logger=_http_log(),
        keepalive_timeout=idle,
        max_line_size=_MAX_LINE,
        max_field_size=_MAX_LINE,
    )
    # aiohttp waits twice as long as it is told: for the handlers, then for their tasks.
    runner = web.ServerRunner(server, shutdown_timeout=drain / 2)
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
        await runner.cleanup()


def _http_log() -> logging.Logger:
    """The server's own log; malformed requests are their sender's matter, and only he is told.

    aiohttp writes a traceback for each, so that anybody with a socket could fill the log.
    """
    log = logging.getLogger("spegla.registry.http")
    log.addFilter(_is_ours)
    return log


def _is_ours(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)
