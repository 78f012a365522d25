"""The one door to the network for asyncio callers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import asdict, dataclass
from random import SystemRandom
from types import TracebackType
from typing import TYPE_CHECKING, Self

import trio

from p2p.bootstrap import Bootstrapper
from p2p.feed import Feed
from p2p.joiner import Joiner
from p2p.kad.ids import key_of
from p2p.loop import LoopEnded, TrioThread
from p2p.provider import Provider, provider_of
from p2p.service import Service
from p2p.status import PeerStatus, Stats, status_of
from p2p.wire.address import show_peer, unpack
from p2p.wire.host import open_host

if TYPE_CHECKING:
    from p2p.port import Host, PeerAddress
    from p2p.settings import Settings

CLOSE_SECONDS = 1.0
"""For taking back what was provided and keeping the peers, before the connections close."""


@dataclass(frozen=True, slots=True)
class _Inside:
    """What runs in the trio thread."""

    host: Host
    service: Service
    joiner: Joiner


class Node:
    """A node of the network, from `async with` to its end.

    The network runs in a thread of its own; every method here is for the asyncio loop that
    entered the node. Once that thread has failed they raise `LoopEnded`: await `wait_failed`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._thread: TrioThread | None = None
        self._running: _Inside | None = None

    async def __aenter__(self) -> Self:
        """Starts the node and listens; first peers are looked for in the background.

        Raises:
            OSError: An address to listen on is not there or taken.
            ValueError: A bootstrap source has no known form, or the identity cannot be used.
        """
        self._thread = await TrioThread.start("p2p", self._main)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Takes back what this node provided and closes; bounded to a few seconds."""
        thread = self._entered
        try:
            with contextlib.suppress(LoopEnded, TimeoutError):
                async with asyncio.timeout(2 * CLOSE_SECONDS):
                    await thread.call(self._close)
        finally:
            await thread.stop()

    @property
    def id(self) -> str:
        """The peer id in base58."""
        return show_peer(self._inside.host.local.peer)

    @property
    def addresses(self) -> list[str]:
        """Multiaddrs of this node, each with `/p2p/<id>`, for others to join it by."""
        ends = (unpack(address) for address in self._inside.host.local.addresses)
        return [f"{end.text}/p2p/{self.id}" for end in ends if end is not None]

    @property
    def ready(self) -> bool:
        """Whether the node is in its network, or is the first of it."""
        return self._inside.joiner.ready

    def known(self, key: str) -> list[Provider]:
        """Who provides `key` by this node's own records: at once, without the network.

        In clusters of up to 20 nodes every node holds every record. This node itself and peers
        that do not answer are left out.
        """
        return [provider_of(found) for found in self._inside.service.dht.known(key_of(key))]

    async def providers(self, key: str, timeout: float) -> AsyncGenerator[Provider, None]:
        """Who provides `key`: first from own records, then from the network as answers come.

        Each once, never this node itself. Ends with the walk through the network, which starts
        only when the own records are used up, and stops when the iterator is closed.

        Args:
            key: The key string.
            timeout: Seconds after which it ends in any case, without an error.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        seen = {self.id}
        for provider in self.known(key):
            seen.add(provider.peer)
            yield provider
        remaining = deadline - loop.time()
        if remaining <= 0:
            return
        async for address in self._walk(key, remaining):
            provider = provider_of(address)
            if provider.peer not in seen:
                seen.add(provider.peer)
                yield provider

    async def provide(self, keys: Iterable[str]) -> None:
        """Provides keys, until they are withdrawn; those provided already are passed over.

        Returns when the nearest peers are told, after three seconds at the latest: peers that
        do not answer are told when they do.
        """
        await self._entered.call(self._provide, list(keys))

    async def withdraw(self, keys: Iterable[str]) -> None:
        """Provides keys no longer; returns when the peers of our kind have dropped them.

        Go's nodes have no way to drop a record: theirs end after 19 minutes.
        """
        await self._entered.call(self._withdraw, list(keys))

    async def join(self, addresses: Iterable[str]) -> list[str]:
        """Looks for peers at further addresses, in the forms of `Settings.bootstrap`.

        Returns:
            The ids of those who answered.

        Raises:
            ValueError: An address has no known form.
        """
        found = await self._entered.call(self._inside.joiner.join, list(addresses))
        return [show_peer(peer.peer) for peer in found]

    def peers(self) -> list[PeerStatus]:
        """The routing table."""
        return [status_of(contact) for contact in self._inside.service.dht.table]

    def stats(self) -> Stats:
        """Counts for metrics."""
        inside = self._inside
        contacts = list(inside.service.dht.table)
        return Stats(
            peers=len(contacts),
            peers_up=sum(not contact.failures for contact in contacts),
            connections=inside.host.connections,
            **asdict(inside.service.dht.counts),
        )

    async def tasks(self) -> int:
        """Tasks of the network's thread, this count's own and trio's included."""
        return await self._entered.call(_living_tasks)

    async def wait_failed(self) -> None:
        """Returns when the node was closed.

        Raises:
            LoopEnded: The network's thread ended of itself; the cause is chained.
        """
        await self._entered.ended()

    @property
    def _entered(self) -> TrioThread:
        if self._thread is None:
            raise RuntimeError("the node is not running: use it inside its `async with`")
        return self._thread

    @property
    def _inside(self) -> _Inside:
        if self._running is None:
            raise RuntimeError("the node is not running: use it inside its `async with`")
        return self._running

    async def _walk(self, key: str, timeout: float) -> AsyncGenerator[PeerAddress, None]:
        """Providers by the network; each may come more than once."""
        service = self._inside.service
        feed: Feed[PeerAddress] = Feed(timeout)
        jobs: list[int] = []
        thread = self._entered
        thread.post(lambda: jobs.append(service.find(key_of(key), feed.push, feed.end)))
        try:
            while batch := await feed.batch():
                for address in batch:
                    yield address
        finally:
            if not feed.close():
                with contextlib.suppress(LoopEnded):
                    thread.post(lambda: service.stop(jobs[0]))

    async def _main(self, ready: Callable[[], None]) -> None:
        async with open_host(self._settings) as host, trio.open_nursery() as nursery:
            service = Service(host, SystemRandom(), self._settings.limits, nursery)
            await host.listen()
            joiner = Joiner(service, Bootstrapper(self._settings, host))
            self._running = _Inside(host, service, joiner)
            nursery.start_soon(service.run)
            nursery.start_soon(joiner.run)
            ready()

    async def _provide(self, keys: list[str]) -> None:
        await self._inside.service.provide([key_of(key) for key in keys])

    async def _withdraw(self, keys: list[str]) -> None:
        await self._inside.service.withdraw([key_of(key) for key in keys])

    async def _close(self) -> None:
        with trio.move_on_after(CLOSE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._inside.joiner.remember)
                nursery.start_soon(self._inside.service.leave)


async def _living_tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living
