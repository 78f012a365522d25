"""Brings the node into its network, and back when it has lost all peers."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import trio

from p2p.port import Bootstrap, PeerAddress
from p2p.service import Service

log = logging.getLogger("spegla.p2p")

MIN_RETRY = 0.5
MAX_RETRY = 30.0
"""Seconds between asking the bootstrap sources while no peer answers: doubling."""

RECHECK = 300.0
"""Seconds between asking them while peers do answer: it heals a network that had split. The
peers are kept each time, too: a node that loses power has no other chance."""

POLL = 0.5
"""Seconds after which coming in, and the loss of all peers, are noticed."""


class Joiner:
    """Asks `bootstrap` for peers when there is need, and lets the DHT meet them."""

    def __init__(self, service: Service, bootstrap: Bootstrap) -> None:
        self._service = service
        self._bootstrap = bootstrap

    async def run(self) -> None:
        """Joins and stays in until cancelled."""
        retry, due, had_peers = MIN_RETRY, 0.0, False
        while True:
            if self.has_peers and not had_peers:
                await self.remember()
                retry, due = MIN_RETRY, trio.current_time() + RECHECK
            elif had_peers and not self.has_peers:
                log.warning("no peer answers any more, looking for others")
                due = 0.0
            had_peers = self.has_peers
            if trio.current_time() >= due:
                await self.remember()
                self._service.meet(await self._bootstrap.peers())
                due = trio.current_time() + (RECHECK if had_peers else retry)
                retry = min(MAX_RETRY, 2 * retry)
            await trio.sleep(POLL)

    async def join(self, sources: Iterable[str]) -> list[PeerAddress]:
        """Asks further sources now; returns who answered.

        Raises:
            ValueError: A source has no known form.
        """
        peers = await self._bootstrap.join(list(sources))
        self._service.meet(peers)
        return peers

    async def remember(self) -> None:
        """Keeps the peers that answer now, for the next start."""
        up = [contact.address for contact in self._service.dht.table if not contact.failures]
        if up:
            await self._bootstrap.remember(up)

    @property
    def has_peers(self) -> bool:
        """Whether some peer answers. Safe to call from another thread."""
        return any(not contact.failures for contact in self._service.dht.table)

    @property
    def ready(self) -> bool:
        """Whether the node is in its network, or is the first of it. Safe from other threads."""
        return self.has_peers or self._bootstrap.first
