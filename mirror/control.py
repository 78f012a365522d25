"""What a running node tells its own command line, over a unix socket that only root can open."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aiohttp import web

from mirror.errors import SetupError
from mirror.metrics import Metrics
from mirror.oci.digest import Digest, InvalidDigest
from mirror.oci.reference import InvalidReference, Reference
from mirror.store.port import Store
from mirror.transfer.peers import PeerBook
from p2p.node import Node

SOCKET_NAME = "control.sock"

_FIND_SECONDS = 2.0


class Control:
    """Answers `spegla status`, `peers` and `find` in JSON."""

    def __init__(
        self,
        facts: dict[str, Any],
        *,
        node: Node,
        store: Store,
        book: PeerBook,
        metrics: Metrics,
        obstacle: Callable[[], str | None],
    ) -> None:
        """Answers about a node's parts; `facts` is what never changes, shown by `status`."""
        self._facts = facts
        self._node = node
        self._store = store
        self._book = book
        self._metrics = metrics
        self._obstacle = obstacle
        self._started = time.monotonic()
        self.app = web.Application()
        self.app.router.add_get("/status", self._status)
        self.app.router.add_get("/peers", self._peers)
        self.app.router.add_get("/find", self._find)

    async def _status(self, _: web.Request) -> web.Response:
        contents = list(self._store.contents())
        return web.json_response(
            {
                **self._facts,
                "peer_id": self._node.id,
                "addresses": self._node.addresses,
                "obstacle": self._obstacle(),
                "uptime_seconds": time.monotonic() - self._started,
                "content": len(contents),
                "content_bytes": sum(content.size for content in contents),
                "tags": sum(1 for _ in self._store.names()),
                "network": asdict(self._node.stats()),
                "peers": len(self._node.peers()),
                "transfers": self._book.running,
                "tasks": len(asyncio.all_tasks()) + await self._node.tasks(),
                "counters": self._metrics.counters(),
            }
        )

    async def _peers(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "peers": [asdict(peer) for peer in self._node.peers()],
                "registries": [asdict(peer) for peer in self._book.all()],
            }
        )

    async def _find(self, request: web.Request) -> web.Response:
        """Who holds `name`, a digest or a reference; asks the whole network."""
        name = request.query.get("name", "")
        try:
            key = _key_of(name)
        except (InvalidDigest, InvalidReference) as error:
            return web.json_response({"error": str(error)}, status=400)
        started = time.perf_counter()
        found = [asdict(provider) async for provider in self._node.providers(key, _FIND_SECONDS)]
        return web.json_response(
            {"key": key, "providers": found, "seconds": time.perf_counter() - started}
        )


@asynccontextmanager
async def serve_control(app: web.Application, path: Path) -> AsyncIterator[None]:
    """Listens on a unix socket, mode 0600, while the context lasts.

    Raises:
        SetupError: The socket cannot be made.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            _make_room(path)
            mask = os.umask(0o177)
            try:
                await web.UnixSite(runner, str(path)).start()
            finally:
                os.umask(mask)
        except OSError as error:
            raise SetupError(
                f"cannot listen on {path}: {error.strerror or error}; check data-dir"
            ) from error
        try:
            yield
        finally:
            _remove(path)
    finally:
        await runner.cleanup()


def _make_room(path: Path) -> None:
    """Makes the folder, and takes away the socket of a node that was killed."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _remove(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _key_of(name: str) -> str:
    """The DHT key of a digest or a reference; a reference with a digest means the digest."""
    if name.startswith("sha256:"):
        return Digest.parse(name)
    reference = Reference.parse(name)
    return reference.digest or reference.tag_key or ""
