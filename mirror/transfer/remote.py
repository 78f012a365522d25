"""Content that peers hold: manifests and small blobs checked whole, large blobs as they come."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from mirror.errors import NotHere
from mirror.metrics import Metrics
from mirror.oci import media
from mirror.oci.digest import Digest
from mirror.oci.ranges import RangeRequest, Span
from mirror.store import recognise
from mirror.transfer.client import PeerClient, PeerFault, Response
from mirror.transfer.found import Description, Found, MemoryBody, Source
from mirror.transfer.memory import Manifest, ManifestCache, MemoryBudget
from mirror.transfer.network import Network
from mirror.transfer.peers import Fault
from mirror.transfer.relay import Relay
from mirror.transfer.search import Search
from mirror.transfer.verify import INLINE_BYTES, Verifier
from mirror.transfer.wanted import Wanted

_RELAYS_UNDER_PRESSURE = 2
_MANIFEST_CACHE_BYTES = 4 * 1024 * 1024


class Remote:
    """What peers hold, as if it were here."""

    def __init__(
        self,
        client: PeerClient,
        network: Network,
        metrics: Metrics,
        under_pressure: Callable[[], bool] = lambda: False,
    ) -> None:
        """Asks peers by `client`, found through `network`; takes less on `under_pressure`."""
        self._client = client
        self._network = network
        self._metrics = metrics
        self._under_pressure = under_pressure
        self._limits = client.limits
        self._budget = MemoryBudget(client.limits.in_memory)
        self._manifests = ManifestCache(_MANIFEST_CACHE_BYTES)

    async def manifest(self, wanted: Wanted) -> Manifest:
        """A manifest by digest or tag, checked.

        Raises:
            NotHere: No peer holds it, or none has it right.
        """
        if wanted.digest is not None and (cached := self._manifests.get(wanted.digest)):
            return cached
        async with self._in_time(wanted):
            manifest = await self._fetch_manifest(wanted)
        self._manifests.add(manifest)
        return manifest

    async def describe_blob(self, wanted: Wanted) -> Description:
        """Size of a blob that some peer holds.

        Raises:
            NotHere: No peer holds it.
        """
        response = await self._find(wanted, method="HEAD")
        response.close()
        return _describe(wanted, response.size)

    async def blob(self, wanted: Wanted, asked: RangeRequest | None) -> Found:
        """A blob, or the span of it that is asked for.

        Raises:
            NotHere: No peer holds it, or none has it right.
            RangeNotSatisfiable: The range lies outside of it.
        """
        async with self._in_time(wanted):
            return await self._fetch_blob(wanted, asked)

    @asynccontextmanager
    async def download(self, wanted: Wanted) -> AsyncIterator[Relay]:
        """A whole blob's bytes, for who stores them.

        Raises:
            NotHere: No peer holds it.
        """
        response = await self._find(wanted)
        relay = self._relay(wanted, response, Span(0, response.size))
        try:
            yield relay
        finally:
            relay.close()

    async def _fetch_manifest(self, wanted: Wanted) -> Manifest:
        failed: set[str] = set()
        while True:
            response = await self._find(wanted, excluded=failed)
            try:
                return await self._checked_manifest(wanted, response)
            except PeerFault:
                failed.add(response.address)
                self._metrics.failovers.inc()
            finally:
                response.close()

    async def _fetch_blob(self, wanted: Wanted, asked: RangeRequest | None) -> Found:
        failed: set[str] = set()
        method = "GET" if asked is None else "HEAD"
        while True:
            response = await self._find(wanted, method, excluded=failed)
            if response.size > self._limits.verified_first:
                return await self._large(wanted, response, asked)
            if method == "HEAD":
                # Small ones are fetched whole, so that the range is cut from checked bytes.
                response.close()
                method = "GET"
                continue
            try:
                return await self._small(wanted, response, asked)
            except PeerFault:
                failed.add(response.address)
                self._metrics.failovers.inc()

    @asynccontextmanager
    async def _in_time(self, wanted: Wanted) -> AsyncIterator[None]:
        """Bounds what the asker waits for its first byte, whatever peers do."""
        try:
            async with asyncio.timeout(self._limits.whole):
                yield
        except TimeoutError as error:
            raise NotHere(f"{wanted.key} takes peers more than {self._limits.whole:g} s") from error

    async def _find(
        self,
        wanted: Wanted,
        method: str = "GET",
        span: Span | None = None,
        excluded: Collection[str] = (),
    ) -> Response:
        search = Search(
            self._client, self._network, wanted, method=method, span=span, excluded=excluded
        )
        with self._metrics.lookup():
            return await search.run()

    async def _small(self, wanted: Wanted, response: Response, asked: RangeRequest | None) -> Found:
        size = response.size
        try:
            await self._budget.take(size, self._limits.head)
            try:
                data = await self._checked(response, wanted.exact)
                span = Span(0, size) if asked is None else asked.resolve(size)
            except BaseException:
                self._budget.give(size)
                raise
        except TimeoutError:
            raise NotHere(f"{wanted.key}: no memory to check it in") from None
        finally:
            response.close()
        body = MemoryBody(memoryview(data)[span.start : span.stop])
        release = functools.partial(self._budget.give, size)
        return Found(_describe(wanted, size), span, body, release)

    async def _large(self, wanted: Wanted, response: Response, asked: RangeRequest | None) -> Found:
        size = response.size
        if self._under_pressure() and self._client.book.running > _RELAYS_UNDER_PRESSURE:
            response.close()
            raise NotHere(f"{wanted.key}: too little memory for another transfer")
        span = Span(0, size)
        if asked is not None:
            response.close()  # it answered HEAD
            span = asked.resolve(size)
            response = await self._find(wanted, span=span)
        relay = self._relay(wanted, response, span)
        return Found(_describe(wanted, size), span, relay, relay.close)

    def _relay(self, wanted: Wanted, response: Response, span: Span) -> Relay:
        return Relay(
            wanted.exact,
            span,
            whole=span.length == response.size,
            response=response,
            find=lambda rest, excluded: self._find(wanted, span=rest, excluded=excluded),
            chunk=self._limits.chunk_for(self._client.book.running),
            metrics=self._metrics,
        )

    async def _checked_manifest(self, wanted: Wanted, response: Response) -> Manifest:
        if response.size > media.MAX_MANIFEST_BYTES:
            raise response.fail(Fault.BROKEN, f"{wanted.key} of {response.size} bytes is too large")
        digest = wanted.digest or _claimed_digest(response)
        data = bytes(await self._checked(response, digest))
        # The document itself says what it is: a header may be missing, or a lie.
        media_type = (
            recognise.media_type(data)
            if len(data) <= INLINE_BYTES
            else await asyncio.to_thread(recognise.media_type, data)
        )
        if media_type == recognise.BLOB:
            raise response.fail(Fault.BROKEN, f"{wanted.key} is no manifest")
        return Manifest(digest, media_type, data)

    async def _checked(self, response: Response, expected: Digest) -> bytearray:
        """The whole body, once its bytes are those of `expected`.

        Raises:
            PeerFault: They are not, or did not all come.
        """
        verifier = Verifier(expected)
        data = await response.read_all(verifier if response.size > INLINE_BYTES else None)
        if response.size <= INLINE_BYTES:
            verifier.feed(data)
        if not verifier.matches():
            self._metrics.verification_failures.inc()
            raise response.fail(Fault.WRONG_BYTES, f"its bytes do not match {expected}")
        return data


def _describe(wanted: Wanted, size: int) -> Description:
    return Description(wanted.exact, size, "", Source.PEER)


def _claimed_digest(response: Response) -> Digest:
    """What a manifest asked for by tag must hash to."""
    try:
        return Digest.parse(response.head.headers.get("docker-content-digest", ""))
    except ValueError as error:
        raise response.fail(Fault.BROKEN, f"Docker-Content-Digest: {error}") from error
