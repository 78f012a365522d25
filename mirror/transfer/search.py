"""Finding a peer that answers: own records first, the DHT behind, hedged when one keeps silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mirror.errors import NotHere
from mirror.oci.ranges import Span
from mirror.transfer.client import Busy, PeerClient, PeerFault, Response
from mirror.transfer.network import Network
from mirror.transfer.wanted import Wanted
from p2p.provider import Provider

log = logging.getLogger("spegla.transfer")

_LEAST_PAUSE = 0.04
"""Seconds: quick enough past a dead rack, and no flood of requests where all are only busy."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A peer that is being asked, and until when (loop time) its silence is not held against it."""

    task: asyncio.Task[None]
    patient_until: float


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
        self._seconds, _ = client.hurried(wanted)
        self._network = network
        self._wanted = wanted
        self._method = method
        self._span = span
        self._seen = set(excluded)
        self._queue: list[str] = []
        self._busy: list[tuple[float, str]] = []
        self._waited: set[str] = set()
        self._asking: dict[str, _Asked] = {}
        self._walk: asyncio.Task[None] | None = None
        self._news: asyncio.Queue[Response | None] = asyncio.Queue()
        self._next_at = 0.0
        self._patient_until = 0.0

    async def run(self) -> Response:
        """The first good answer; the caller closes it.

        Raises:
            NotHere: Nobody who answers in time holds it.
        """
        winner: Response | None = None
        self._add(self._network.known(self._wanted.key))
        try:
            try:
                async with asyncio.timeout(self._seconds):
                    winner = await self._first_answer()
            except TimeoutError:
                log.debug("no peer answered in time for %s", self._wanted.key)
            finally:
                silent = self._silent()
                await self._stop()
        except BaseException:
            if winner is not None:
                winner.close()
            raise
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
            self._come_back(loop.time())
            if loop.time() >= self._next_at:
                self._ask_next(loop.time())
            if self._exhausted():
                return None
            try:
                async with asyncio.timeout_at(min([self._next_at, *(at for at, _ in self._busy)])):
                    answer = await self._news.get()
            except TimeoutError:
                continue
            if answer is not None:
                return answer
            if self._queue or self._walk is None:
                # A provider that the walk has found waits like all others until those who are
                # being asked had their time.
                self._next_at = self._patient_until

    def _ask_next(self, now: float) -> None:
        """Asks one more peer, or sets out on the walk."""
        if self._queue:
            address = self._queue.pop(0)
            patience = self._client.book.hedge_after(address, self._client.clock())
            pause = _pause(patience, len(self._asking))
            self._asking[address] = _Asked(asyncio.create_task(self._ask(address)), now + patience)
            self._patient_until = self._next_at = now + pause
            return
        if self._walk is None:
            self._walk = asyncio.create_task(self._walk_network())
        self._next_at = now + self._seconds

    def _exhausted(self) -> bool:
        """Whether everybody was asked and has answered."""
        walked = self._walk is not None and self._walk.done()
        return walked and not self._asking and not self._busy and self._news.empty()

    def _come_back(self, now: float) -> None:
        """Puts busy peers whose time has come back into the queue."""
        due = [address for at, address in self._busy if at <= now]
        if due:
            self._busy = [entry for entry in self._busy if entry[0] > now]
            self._queue += due
            self._next_at = min(self._next_at, now)

    def _come_back_later(self, address: str, seconds: float) -> None:
        """Better a busy holder a little later than the upstream; once, and others come first."""
        book, now = self._client.book, self._client.clock()
        if address in self._waited:
            book.waited_in_vain(address, now)
        elif book.worth_waiting(address, now):
            self._waited.add(address)
            self._busy.append((asyncio.get_running_loop().time() + seconds, address))

    def _silent(self) -> list[str]:
        """Peers that had their time to answer and did not."""
        now = asyncio.get_running_loop().time()
        return [address for address, asked in self._asking.items() if asked.patient_until <= now]

    async def _ask(self, address: str) -> None:
        answer = None
        try:
            async with asyncio.timeout(self._client.book.trial(address)):
                answer = await self._client.ask(address, self._wanted, self._method, self._span)
        except TimeoutError as error:
            log.debug("failed again: %s", self._client.fault(address, error))
        except Busy as busy:
            self._come_back_later(address, busy.retry_after)
        except (NotHere, PeerFault) as error:
            log.debug("asked in vain: %s", error)
        finally:
            del self._asking[address]
            if answer is None:
                self._patient_until = 0.0
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
        tasks = [asked.task for asked in self._asking.values()]
        tasks += [] if self._walk is None else [self._walk]
        for task in tasks:
            task.cancel()
        try:
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    log.warning("search for %s failed: %r", self._wanted.key, outcome)
        finally:
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


def _pause(patience: float, silent: int) -> float:
    """Seconds until the next peer is asked: fewer, the more keep silent already.

    A rack that lost its power may be all that is known first.
    """
    return min(patience, max(patience / 2.0 ** min(silent, 10), _LEAST_PAUSE))
