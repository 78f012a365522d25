"""A large blob passed on from peers while it comes, moved to another peer when one fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection

from mirror.errors import NotHere
from mirror.metrics import Metrics
from mirror.oci.digest import Digest
from mirror.oci.ranges import Span
from mirror.transfer.client import PeerFault, Response
from mirror.transfer.peers import Fault
from mirror.transfer.verify import Verifier

FindHolder = Callable[[Span, Collection[str]], Awaitable[Response]]
"""Finds an answer with just these bytes from a peer not in the collection, or raises NotHere."""


class BrokenOff(Exception):
    """The body cannot be finished; the asker's connection is closed cleanly.

    containerd then asks again from where it stopped, and is sent on (measured on 1.6 to 2.1).
    """


class Relay:
    """The bytes of `span` of one blob.

    A whole blob is hashed on the way, and its last chunk leaves only when the digest is right.
    Part of a blob cannot be checked; containerd does so when it commits.
    """

    def __init__(
        self,
        digest: Digest,
        span: Span,
        *,
        whole: bool,
        response: Response,
        find: FindHolder,
        chunk: int,
        metrics: Metrics,
    ) -> None:
        self._digest = digest
        self._position = span.start
        self._stop = span.stop
        self._length = span.length
        self._verifier = Verifier(digest) if whole else None
        self._response = response
        self._find = find
        self._chunk = chunk
        self._metrics = metrics
        self._sources = [response]

    @property
    def total(self) -> int:
        """Bytes it sends in all."""
        return self._length

    async def chunks(self) -> AsyncGenerator[memoryview]:
        """All bytes in order. A chunk is valid until the next one is asked for.

        One chunk is read ahead while the consumer sends the last.

        Raises:
            BrokenOff: No holder is left, or the bytes are not those of the digest.
        """
        size = min(self._chunk, self._stop - self._position)
        buffers = memoryview(bytearray(size)), memoryview(bytearray(size))
        ahead = asyncio.create_task(self._read(buffers[0]))
        turn = 0
        try:
            while chunk := await ahead:
                turn = 1 - turn
                ahead = asyncio.create_task(self._read(buffers[turn]))
                yield chunk
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    def close(self) -> None:
        """Lets go of the peer."""
        self._response.close()

    async def _read(self, buffer: memoryview) -> memoryview:
        if self._position == self._stop:
            return buffer[:0]
        while True:
            try:
                count = await self._response.read(buffer, self._verifier)
            except PeerFault as fault:
                await self._fail_over(fault)
                continue
            self._position += count
            if self._position == self._stop:
                self._check()
            return buffer[:count]

    async def _fail_over(self, fault: PeerFault) -> None:
        self._response.close()
        try:
            self._response = await self._find(
                Span(self._position, self._stop), {source.address for source in self._sources}
            )
        except NotHere as error:
            raise BrokenOff(
                f"{self._digest} broke off at byte {self._position} of {self._stop}: {fault}, "
                "and nobody else holds it"
            ) from error
        self._sources.append(self._response)
        self._metrics.failovers.inc()

    def _check(self) -> None:
        if self._verifier is None or self._verifier.matches():
            return
        # With several sources nobody can tell whose bytes were wrong: none is trusted for a while.
        cause = f"the bytes do not match {self._digest}"
        faults = [source.fail(Fault.WRONG_BYTES, cause) for source in self._sources]
        self._metrics.verification_failures.inc()
        raise BrokenOff("; ".join(map(str, faults)))
