"""Nodes of one process on loopback addresses, joined by a network that is a dict.

Each address is a node of its own; all share one port, as the registries of a cluster do.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from mirror.metrics import Metrics
from mirror.oci.digest import Digest
from mirror.registry.endpoint import Endpoint
from mirror.registry.policy import Policy
from mirror.registry.pull import PullApi
from mirror.registry.server import serve
from mirror.registry.uploads import SLOTS, Uploads
from mirror.store.memory import MemoryStore
from mirror.store.port import Store
from mirror.transfer.client import PeerClient
from mirror.transfer.elsewhere import Peers
from mirror.transfer.limits import Limits
from mirror.transfer.peers import PeerBook
from mirror.transfer.remote import Remote
from mirror.transfer.transfer import Transfer
from p2p.provider import Provider

_octets = itertools.count(1)

QUICK = Limits(connect=0.5, head=0.6, stall=0.6, search=1.5, walk=0.5)
"""Bounds short enough for tests; what they are does not change what happens."""


def fresh_address() -> str:
    """A loopback address that no other test of this run uses."""
    number = next(_octets)
    return f"127.77.{number // 250}.{number % 250 + 1}"


def free_port(address: str = "127.0.0.1") -> int:
    """A port that is free now."""
    with socket.socket() as sock:
        sock.bind((address, 0))
        port: int = sock.getsockname()[1]
        return port


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Waits until `condition` holds, for things that end a moment after their answer."""
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the condition did not come true")


class DictNetwork:
    """Honours `Network`: `known` and `walked` map keys to addresses."""

    def __init__(self) -> None:
        self.known_holders: defaultdict[str, list[str]] = defaultdict(list)
        self.walked_holders: defaultdict[str, list[str]] = defaultdict(list)

    def known(self, key: str) -> list[Provider]:
        return [Provider(address, (address,)) for address in self.known_holders[key]]

    async def providers(self, key: str, timeout: float) -> AsyncIterator[Provider]:
        for address in [*self.known_holders[key], *self.walked_holders[key]]:
            yield Provider(address, (address,))


@dataclass
class LoopbackNode:
    """One node: its store, its way to peers, its metrics."""

    address: str
    store: Store
    client: PeerClient
    remote: Remote
    transfer: Transfer
    metrics: Metrics
    expected: list[tuple[str, str]] = field(default_factory=list)
    doubted: list[Digest] = field(default_factory=list)


@dataclass
class Loopback:
    """A cluster on one port."""

    port: int
    network: DictNetwork
    limits: Limits
    executor: ThreadPoolExecutor
    stack: AsyncExitStack
    server_tls: ssl.SSLContext | None = None
    client_tls: ssl.SSLContext | None = None

    async def node(
        self,
        store: Store | None = None,
        *,
        covers: Callable[[str], bool] = lambda host: host != "private.example",
        latest: bool = False,
        obstacle: Callable[[], str | None] = lambda: None,
        slots: int = SLOTS,
        under_pressure: Callable[[], bool] = lambda: False,
    ) -> LoopbackNode:
        """Starts a node that serves `store` on an address of its own."""
        address = fresh_address()
        metrics = Metrics()
        client = PeerClient(
            PeerBook(),
            port=self.port,
            tls=self.client_tls,
            executor=self.executor,
            limits=self.limits,
            clock=time.monotonic,
            agent="spegla/test",
        )
        self.stack.callback(client.close)
        remote = Remote(client, self.network, metrics, under_pressure)
        store = store or MemoryStore(ready=True)
        transfer = Transfer(
            store, Peers(remote), lambda content: any(map(covers, content.registries))
        )
        node = LoopbackNode(address, store, client, remote, transfer, metrics)
        policy = Policy(covers, "docker.io", latest=latest, certificate=self.server_tls is not None)
        pull = PullApi(
            transfer,
            policy,
            metrics,
            Uploads(lambda: False, slots),
            expect=lambda *hint: node.expected.append(hint),
            doubt=node.doubted.append,
        )
        endpoint = Endpoint(pull, policy, metrics, obstacle, show_metrics=True)
        await self.stack.enter_async_context(
            serve(endpoint.handle, self.port, self.server_tls, host=address)
        )
        return node


@asynccontextmanager
async def loopback(
    limits: Limits = QUICK,
    server_tls: ssl.SSLContext | None = None,
    client_tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Loopback]:
    """An empty cluster; nodes that are started in it end with it."""
    async with AsyncExitStack() as stack:
        executor = stack.enter_context(ThreadPoolExecutor(4))
        yield Loopback(free_port(), DictNetwork(), limits, executor, stack, server_tls, client_tls)
