"""The transport in a dict: `p2p.port.Host` without sockets, for trio and its `MockClock`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import trio

from p2p.port import (
    BadMessage,
    Handler,
    PeerAddress,
    PeerConnected,
    PeerDisconnected,
    PeerEvent,
    PeerId,
    PeerUnreachable,
)

_Exchange = tuple[list[bytes], Callable[[bytes | None], None]]


class Internet:
    """All hosts by id, and how long messages take between them."""

    def __init__(self, nursery: trio.Nursery, seed: int = 1, delay: float = 0.001) -> None:
        self.nursery = nursery
        self.random = Random(seed)
        self.delay = delay
        self.hosts: dict[PeerId, MemoryHost] = {}

    async def hop(self) -> None:
        """On the way from one host to another."""
        await trio.sleep(self.delay * self.random.uniform(0.5, 1.5))


class MemoryHost:
    """One host. `silent` hosts take everything and answer nothing."""

    def __init__(self, internet: Internet, address: PeerAddress, agent: str = "memory") -> None:
        self.local = address
        self.agent = agent
        self.silent = False
        self.listening = False
        self._internet = internet
        self._handlers: dict[str, Handler] = {}
        self._listeners: list[Callable[[PeerEvent], None]] = []
        self._peers: set[PeerId] = set()
        self._lines: dict[tuple[PeerAddress, str], trio.MemorySendChannel[_Exchange]] = {}
        internet.hosts[address.peer] = self

    @property
    def connections(self) -> int:
        return len(self._peers)

    async def listen(self) -> None:
        self.listening = True

    def handle(self, protocol: str, handler: Handler) -> None:
        self._handlers[protocol] = handler

    def subscribe(self, listener: Callable[[PeerEvent], None]) -> None:
        self._listeners.append(listener)

    async def identify(self, address: bytes, timeout: float) -> PeerAddress:
        for host in self._internet.hosts.values():
            if host.listening and address in host.local.addresses:
                self._connect(host)
                return PeerAddress(host.local.peer, (address,))
        raise PeerUnreachable("nobody there")

    async def request(
        self, peer: PeerAddress, protocol: str, message: bytes, timeout: float
    ) -> bytes:
        done = trio.Event()
        answers: list[bytes | None] = []

        def settle(answer: bytes | None) -> None:
            answers.append(answer)
            done.set()

        self._line(peer, protocol).send_nowait(([message], settle))
        with trio.move_on_after(timeout):
            await done.wait()
        if not answers or answers[0] is None:
            raise PeerUnreachable("no answer")
        return answers[0]

    async def send(
        self, peer: PeerAddress, protocol: str, messages: Sequence[bytes], timeout: float
    ) -> None:
        if self._find(peer) is None:
            raise PeerUnreachable("refused")
        self._line(peer, protocol).send_nowait((list(messages), lambda _: None))
        await trio.lowlevel.checkpoint()

    async def disconnect(self, peer: PeerId) -> None:
        if peer in self._peers:
            other = self._internet.hosts[peer]
            self._peers.discard(peer)
            other._peers.discard(self.local.peer)
            self._tell(PeerDisconnected(peer))
            other._tell(PeerDisconnected(self.local.peer))
        await trio.lowlevel.checkpoint()

    async def close(self) -> None:
        """Ends as a killed process does."""
        self.listening = False
        for peer in list(self._peers):
            await self.disconnect(peer)

    def _line(self, peer: PeerAddress, protocol: str) -> trio.MemorySendChannel[_Exchange]:
        line = self._lines.get((peer, protocol))
        if line is None:
            line, exchanges = trio.open_memory_channel[_Exchange](10_000)
            self._lines[peer, protocol] = line
            self._internet.nursery.start_soon(self._serve_line, peer, protocol, exchanges)
        return line

    async def _serve_line(
        self,
        peer: PeerAddress,
        protocol: str,
        exchanges: trio.MemoryReceiveChannel[_Exchange],
    ) -> None:
        async for messages, settle in exchanges:
            settle(await self._exchange(peer, protocol, messages))

    async def _exchange(
        self, peer: PeerAddress, protocol: str, messages: list[bytes]
    ) -> bytes | None:
        host = self._find(peer)
        if host is None:
            return None
        self._connect(host)
        await self._internet.hop()
        if host.silent:
            await trio.sleep_forever()
        handler = host._handlers.get(protocol)
        if handler is None:
            return None
        answer = None
        for message in messages:
            try:
                answer = await handler(self.local, message)
            except BadMessage:
                break
        await self._internet.hop()
        return answer

    def _find(self, peer: PeerAddress) -> MemoryHost | None:
        assert peer.peer != self.local.peer, "a message to oneself"
        host = self._internet.hosts.get(peer.peer)
        if host is None or not host.listening or host.local.addresses != peer.addresses:
            return None
        return host

    def _connect(self, host: MemoryHost) -> None:
        if host.local.peer in self._peers:
            return
        self._peers.add(host.local.peer)
        host._peers.add(self.local.peer)
        self._tell(PeerConnected(host.local, frozenset(host._handlers), host.agent))
        host._tell(PeerConnected(self.local, frozenset(self._handlers), self.agent))

    def _tell(self, event: PeerEvent) -> None:
        for listener in self._listeners:
            listener(event)
