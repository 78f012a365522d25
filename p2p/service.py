"""Drives the DHT over a transport: its commands become requests, what happens becomes events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

import trio

from p2p.kad.commands import Announce, Ask, Command, Finished, Found
from p2p.kad.dht import Dht
from p2p.port import (
    KAD_PROTOCOL,
    LEAVE_PROTOCOL,
    Key,
    PeerAddress,
    PeerEvent,
    PeerUnreachable,
    Transport,
)
from p2p.settings import Limits

log = logging.getLogger("spegla.p2p")

BATCH = 200
"""Announcements of one write: 5,000 take 0.1 s so, and Go takes them as fast (measured)."""

BATCH_TIMEOUT = 5.0
"""Seconds for one batch to be written."""

CHUNK = 1000
"""Keys handed to the DHT in one go, so that requests of others are answered in between."""

PROVIDE_SECONDS = 3.0
"""How long a caller waits for keys to be told around; silent peers get them later."""

LEAVE_SECONDS = 0.9
"""How long a leaving node waits for its peers to drop its records."""


@dataclass(frozen=True, slots=True)
class _Job:
    found: Callable[[Sequence[PeerAddress]], None]
    finished: Callable[[], None]


class Service:
    """A running DHT node, for the trio thread.

    Args:
        transport: Carries its messages; handlers are set here, so it must not be listening yet.
        random: Everything random is drawn from it.
        limits: Bounds on the records held for others.
        nursery: Runs its requests.
    """

    def __init__(
        self, transport: Transport, random: Random, limits: Limits, nursery: trio.Nursery
    ) -> None:
        self.dht = Dht(
            transport.local,
            random,
            trio.current_time(),
            max_records=limits.records,
            max_records_per_peer=limits.records_per_peer,
        )
        self._transport = transport
        self._jobs: dict[int, _Job] = {}
        self._tick_at = 0.0
        self._earlier = trio.Event()
        self._nursery = nursery
        self._closed = False
        transport.handle(KAD_PROTOCOL, self._on_request)
        transport.handle(LEAVE_PROTOCOL, self._on_withdrawal)
        transport.subscribe(self._on_event)

    async def run(self) -> None:
        """Keeps time for the DHT until cancelled; from then on nothing more is sent."""
        try:
            while True:
                self._tick_at = self.dht.next_tick
                self._earlier = trio.Event()
                with trio.move_on_at(self._tick_at):
                    await self._earlier.wait()
                if trio.current_time() >= self._tick_at:
                    self.dht.tick(trio.current_time())
                    self._settle()
        finally:
            self._closed = True

    def meet(self, peers: Iterable[PeerAddress]) -> None:
        """Gets to know peers that bootstrap named."""
        self.dht.meet(peers, trio.current_time())
        self._settle()

    def find(
        self,
        key: Key,
        found: Callable[[Sequence[PeerAddress]], None],
        finished: Callable[[], None],
    ) -> int:
        """Walks the network for providers; returns the job's number, for `stop`."""
        job = self.dht.find(key, trio.current_time())
        self._jobs[job] = _Job(found, finished)
        self._settle()
        return job

    def stop(self, job: int) -> None:
        """Ends a walk early; nothing more is heard of it."""
        self.dht.stop(job)
        self._jobs.pop(job, None)

    async def provide(self, keys: Sequence[Key]) -> None:
        """Provides keys from now on; returns when the nearest peers that answer are told."""
        await self._do(self.dht.provide, keys, PROVIDE_SECONDS)

    async def withdraw(self, keys: Sequence[Key]) -> None:
        """Provides keys no longer; returns when the peers that can have dropped them."""
        await self._do(self.dht.withdraw, keys, PROVIDE_SECONDS)

    async def leave(self) -> None:
        """Takes everything back for good, in less than a second."""
        done = trio.Event()
        self._begin(self.dht.leave(trio.current_time()), done)
        with trio.move_on_after(LEAVE_SECONDS):
            await done.wait()

    async def _do(
        self, begin: Callable[[Sequence[Key], float], int], keys: Sequence[Key], seconds: float
    ) -> None:
        jobs = []
        for start in range(0, len(keys), CHUNK):
            jobs.append(trio.Event())
            self._begin(begin(keys[start : start + CHUNK], trio.current_time()), jobs[-1])
            await trio.lowlevel.checkpoint()
        with trio.move_on_after(seconds):
            for done in jobs:
                await done.wait()

    def _begin(self, job: int, done: trio.Event) -> None:
        self._jobs[job] = _Job(lambda _: None, done.set)
        self._settle()

    def _settle(self) -> None:
        """Has done what the DHT wants done since the last call."""
        self.dht.local = self._transport.local
        commands = self.dht.commands()
        if self._closed or not commands:
            return
        for command in commands:
            self._carry_out(command)
        if self.dht.next_tick < self._tick_at:
            self._earlier.set()

    def _carry_out(self, command: Command) -> None:
        match command:
            case Ask():
                self._nursery.start_soon(self._ask, command)
            case Announce():
                self._nursery.start_soon(self._announce, command)
            case Found(job, providers) if job in self._jobs:
                self._jobs[job].found(providers)
            case Finished(job) if job in self._jobs:
                self._jobs.pop(job).finished()

    async def _ask(self, ask: Ask) -> None:
        try:
            answer = await self._transport.request(ask.peer, ask.protocol, ask.message, ask.timeout)
        except PeerUnreachable as error:
            log.debug("no answer: %s", error)
            self.dht.failed(ask.ticket, trio.current_time())
        else:
            self.dht.answered(ask.ticket, answer, trio.current_time())
        self._settle()

    async def _announce(self, announce: Announce) -> None:
        try:
            for start in range(0, len(announce.keys), BATCH):
                messages = self.dht.announcements(announce.keys[start : start + BATCH])
                await self._transport.send(announce.peer, KAD_PROTOCOL, messages, BATCH_TIMEOUT)
        except PeerUnreachable as error:
            log.debug("could not announce: %s", error)
            self.dht.failed(announce.ticket, trio.current_time())
        else:
            self.dht.answered(announce.ticket, b"", trio.current_time())
        self._settle()

    async def _on_request(self, sender: PeerAddress, message: bytes) -> bytes | None:
        answer = self.dht.request(sender, message, trio.current_time())
        self._settle()
        return answer

    async def _on_withdrawal(self, sender: PeerAddress, message: bytes) -> bytes:
        answer = self.dht.withdrawal(sender, message, trio.current_time())
        self._settle()
        return answer

    def _on_event(self, event: PeerEvent) -> None:
        self.dht.happened(event, trio.current_time())
        self._settle()
