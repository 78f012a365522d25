"""Finding a peer that answers: own records first, the DHT behind, hedged when one keeps silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable

from p2p.provider import Provider

from mirror.errors import NotHere
from mirror.oci.ranges import Span
from mirror.transfer.client import PeerClient, PeerFault, Response
from mirror.transfer.network import Network
from mirror.transfer.wanted import Wanted

log = logging.getLogger("spegla.transfer")


class Search:
    """One search for one holder of one thing.

    The best known holder is asked first. When it keeps silent for longer than it usually does,
    the next is asked as well and the first good answer wins: a busy holder is never dropped,
    a dead one costs a moment. The DHT is walked once nobody known is left to ask.
    """

    def __init__(
        self,
        client: PeerClient,
        network: Network,
        wanted: Wanted,
        *,
        method: str = "GET",
        span: Span | None = None,
        excluded: Collection[str] = (),
    ) -> None:
        self._client = client
        self._network = network
        self._wanted = wanted
        self._method = method
        self._span = span
        self._seen = set(excluded)
        self._queue: list[str] = []
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._walk: asyncio.Task[None] | None = None
        self._news: asyncio.Queue[Response | None] = asyncio.Queue()
        self._next_at = 0.0

    async def run(self) -> Response:
        """The first good answer; the caller closes it.

        Raises:
            NotHere: Nobody who answers in time holds it.
        """
        winner: Response | None = None
        self._add(self._network.known(self._wanted.key))
        try:
            async with asyncio.timeout(self._client.limits.search):
                winner = await self._first_answer()
        except TimeoutError:
            log.debug("no peer answered in time for %s", self._wanted.key)
        finally:
            silent = [*self._asking]
            await self._stop()
        for address in silent:
            if winner is None:
                self._client.fault(address, TimeoutError())
            else:
                self._client.book.slow(address, self._client.clock())
        if winner is None:
            raise NotHere(f"no peer holds {self._wanted.key}")
        return winner

    async def _first_answer(self) -> Response | None:
        """None when everybody was asked and nobody holds it."""
        loop = asyncio.get_running_loop()
        while True:
            if loop.time() >= self._next_at:
                self._next_at = loop.time() + self._ask_next()
            if not self._asking and self._walk is not None and self._walk.done():
                return None
            try:
                async with asyncio.timeout_at(self._next_at):
                    answer = await self._news.get()
            except TimeoutError:
                continue
            if answer is not None:
                return answer
            if self._queue or self._walk is None:
                self._next_at = 0.0

    def _ask_next(self) -> float:
        """Asks one more peer, or sets out on the walk; returns for how long that may suffice."""
        if self._queue:
            address = self._queue.pop(0)
            self._asking[address] = asyncio.create_task(self._ask(address))
            return self._client.book.hedge_after(address, self._client.clock())
        if self._walk is None:
            self._walk = asyncio.create_task(self._walk_network())
        return self._client.limits.search

    async def _ask(self, address: str) -> None:
        answer = None
        try:
            answer = await self._client.ask(address, self._wanted, self._method, self._span)
        except (NotHere, PeerFault) as error:
            log.debug("asked in vain: %s", error)
        finally:
            del self._asking[address]
            self._news.put_nowait(answer)

    async def _walk_network(self) -> None:
        try:
            timeout = self._client.limits.walk
            async for provider in self._network.providers(self._wanted.key, timeout):
                self._add([provider])
                self._news.put_nowait(None)
        finally:
            self._news.put_nowait(None)

    async def _stop(self) -> None:
        """Ends what is still under way; answers that came too late are given back."""
        tasks = [*self._asking.values()] + ([] if self._walk is None else [self._walk])
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                log.warning("search for %s failed: %r", self._wanted.key, outcome)
        while not self._news.empty():
            if (late := self._news.get_nowait()) is not None:
                late.close()

    def _add(self, providers: Iterable[Provider]) -> None:
        book, now = self._client.book, self._client.clock()
        fresh = []
        for provider in providers:
            # A peer's further addresses are the same registry: tried only if the first fails.
            for address in provider.addresses:
                if address not in self._seen and book.usable(address, self._wanted.key, now):
                    self._seen.add(address)
                    fresh.append(address)
        self._queue.extend(book.rank(fresh, now))
