"""A place for a scripted peer: a namespace, in which it is a node of the network and a registry."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from p2p.node import Node
from p2p.settings import Settings
from tests.cluster.netns import DEVICE, Namespace, run
from tests.cluster.spegla import P2P_PORT, REGISTRY_PORT
from tests.faults.inside import Inside

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What happens on a connection."""

PREFIX = 16
"""Bits of the network that all addresses are in; the real nodes know 24 of them by themselves."""

_JOIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Registration:
    """What a peer is in the network.

    Attributes:
        folder: Of its identity, a new one.
        bootstrap: Addresses of nodes that it joins.
        keys: What it says it holds.
    """

    folder: Path
    bootstrap: Sequence[str]
    keys: Iterable[str]


class Seat:
    """A namespace for one peer after the other, each under an address that nobody has met.

    Attributes:
        space: The namespace.
        address: Of who sits here now.
    """

    def __init__(self, space: Namespace, inside: Inside) -> None:
        """A seat in `space`, whose threads are `inside` it."""
        self.space = space
        self._inside = inside
        self._stack = AsyncExitStack()
        self.address = space.ipv4

    def move(self, address: str) -> None:
        """Takes another address; the former is gone without a word."""
        self.address = address
        ip = ["ip", "-n", self.space.name, "addr"]
        run([*ip, "flush", "dev", DEVICE])
        run([*ip, "add", f"{address}/{PREFIX}", "dev", DEVICE])

    def join(self, registration: Registration) -> None:
        """Joins the network and provides the keys; returns when those it knows are told."""
        self._inside.run(self._join(registration))

    def serve(self, connected: Connected, tls: ssl.SSLContext | None) -> None:
        """Listens where a node's registry does."""
        server = listening(connected, self.address, REGISTRY_PORT, tls)
        self._inside.run(self._stack.enter_async_context(server))

    def leave(self) -> None:
        """Leaves the network as it should, and closes the port."""
        stack, self._stack = self._stack, AsyncExitStack()
        self._inside.run(stack.aclose())

    async def _join(self, registration: Registration) -> None:
        settings = Settings(
            data_dir=registration.folder,
            port=P2P_PORT,
            listen=(self.address,),
            bootstrap=tuple(f"/ip4/{ip}/tcp/{P2P_PORT}" for ip in registration.bootstrap),
        )
        node = await self._stack.enter_async_context(Node(settings))
        async with asyncio.timeout(_JOIN_SECONDS):
            while not node.ready:  # noqa: ASYNC110 - it has no event for that
                await asyncio.sleep(0.005)
        await node.provide(registration.keys)


@asynccontextmanager
async def listening(
    connected: Connected, address: str, port: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Listens while the context lasts."""
    server = await asyncio.start_server(connected, address, port, ssl=tls)
    try:
        yield
    finally:
        server.close()
