"""Telling a holder that its bytes were wrong, so that it looks and stops sharing them."""

from __future__ import annotations

import asyncio
import logging

from mirror.errors import NotHere
from mirror.transfer.client import PeerClient, PeerFault
from mirror.transfer.wanted import Wanted

log = logging.getLogger("spegla.transfer")

_QUEUE = 64


class Doubts:
    """Reports to holders, in the background and one after the other."""

    def __init__(self, client: PeerClient) -> None:
        self._client = client
        self._queue: asyncio.Queue[tuple[str, Wanted]] = asyncio.Queue(_QUEUE)
        client.on_wrong_bytes = self._put

    async def run(self) -> None:
        """Sends reports until cancelled; one that fails is dropped, the next reader tells too."""
        while True:
            address, wanted = await self._queue.get()
            try:
                response = await self._client.ask(address, wanted, "HEAD", doubt=True)
            except (NotHere, PeerFault) as error:
                log.debug("doubt about %s not delivered: %s", wanted.key, error)
            else:
                response.close()

    def _put(self, address: str, wanted: Wanted) -> None:
        if wanted.digest is not None and not self._queue.full():
            self._queue.put_nowait((address, wanted))
