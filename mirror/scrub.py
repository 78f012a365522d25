"""Self-repair: content that a reader found wrong is checked, and not shared when it is."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable

from mirror.errors import NotHere
from mirror.metrics import Metrics
from mirror.oci.digest import Digest
from mirror.store.port import Blob, Store

log = logging.getLogger("spegla.store")

_QUEUE = 64
_REMEMBERED = 1024
_AGAIN = 600.0
_PIECE = 1024 * 1024


class Scrubber:
    """Checks content that peers doubt, one at a time; any peer may doubt, so it is bounded.

    What was found good is not checked again for ten minutes.
    """

    def __init__(self, store: Store, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._doubted: asyncio.Queue[Digest] = asyncio.Queue(_QUEUE)
        self._not_before: OrderedDict[Digest, float] = OrderedDict()

    def doubt(self, digest: Digest) -> None:
        """A peer says that our bytes of `digest` are wrong; passed over when too many say so."""
        now = self._clock()
        if self._not_before.get(digest, 0.0) > now or self._doubted.full():
            return
        self._not_before[digest] = now + _AGAIN
        if len(self._not_before) > _REMEMBERED:
            self._not_before.popitem(last=False)
        self._doubted.put_nowait(digest)

    async def run(self) -> None:
        """Checks what is doubted, until cancelled."""
        while True:
            digest = await self._doubted.get()
            try:
                good = await self._is_good(digest)
            except NotHere:
                continue
            except OSError as error:
                log.error("%s cannot be read: %s; it is not shared any more", digest, error)
                good = False
            if good:
                log.debug("%s was doubted by a peer and is right", digest)
                continue
            self._metrics.corrupt_content.inc()
            self._store.distrust(digest)
            log.error(
                "%s is corrupt in this node's content store; it is not shared any more. Remove "
                "its image and pull it again, and check the disk",
                digest,
            )

    async def _is_good(self, digest: Digest) -> bool:
        blob = self._store.open(digest)
        try:
            return await _hash(blob) == digest.hex
        finally:
            blob.close()


async def _hash(blob: Blob) -> str:
    running = hashlib.sha256()
    offset = 0
    while data := await blob.read(offset, _PIECE):
        await asyncio.to_thread(running.update, data)
        offset += len(data)
    return running.hexdigest()
