"""A network in a dict: DHT nodes without sockets, in virtual time, drawn from one seed.

Deliveries are scheduled, never recursive. A message to an address that nobody ever had, or an
exception in a node, fails the test that runs it.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from p2p.kad.commands import Announce, Ask, Command, Finished, Found
from p2p.kad.dht import Dht
from p2p.port import (
    KAD_PROTOCOL,
    LEAVE_PROTOCOL,
    BadMessage,
    Key,
    PeerAddress,
    PeerConnected,
    PeerDisconnected,
    PeerId,
)


def address_of(number: int) -> PeerAddress:
    """A peer with an id and an IPv4 address made from a number."""
    public = hashlib.sha256(b"peer %d" % number).digest()
    ip = (0x0A000000 + number + 1).to_bytes(4, "big")
    return PeerAddress(
        PeerId(b"\x00\x24\x08\x01\x12\x20" + public), (b"\x04" + ip + b"\x06\x13\x89",)
    )


@dataclass(eq=False)
class Node:
    """A simulated process.

    Attributes:
        silent: It takes connections and answers nothing (stopped, or its link is down).
        running: False once killed: its connections break and new ones are refused.
        found: Providers by lookup, as they came.
        finished: When each job ended.
    """

    address: PeerAddress
    dht: Dht
    protocols: frozenset[str]
    silent: bool = False
    running: bool = True
    connections: set[PeerId] = field(default_factory=set)
    found: dict[int, list[PeerId]] = field(default_factory=dict)
    finished: dict[int, float] = field(default_factory=dict)
    tick_at: float = float("inf")


class Network:
    """All nodes, the clock and what is on its way."""

    def __init__(self, seed: int, *, delay: float = 0.001, loss: float = 0.0) -> None:
        self.random = Random(seed)
        self.now = 1000.0
        self.nodes: dict[PeerId, Node] = {}
        self.messages = 0
        self._delay = delay
        self._loss = loss
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._scheduled = 0

    def add(self, *, via: Node | None = None, ours: bool = True) -> Node:
        """Starts a node, which gets to know the network through `via`."""
        address = address_of(len(self.nodes))
        dht = Dht(address, Random(self.random.random()), self.now)
        protocols = {KAD_PROTOCOL, LEAVE_PROTOCOL} if ours else {KAD_PROTOCOL}
        node = Node(address, dht, frozenset(protocols))
        self.nodes[address.peer] = node
        if via is not None:
            dht.meet([via.address], self.now)
        self._settle(node)
        return node

    def cluster(self, size: int, *, gap: float = 0.05) -> list[Node]:
        """Starts nodes one after the other, all through the first, and lets them settle."""
        nodes = [self.add()]
        for _ in range(size - 1):
            nodes.append(self.add(via=nodes[0]))
            self.run(gap)
        self.run(15.0)
        return nodes

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self._step()
        self.now = end

    def run_until(self, condition: Callable[[], bool], within: float) -> float:
        """Lets time pass until something holds; returns the seconds it took."""
        start = self.now
        while not condition():
            assert self._queue, "nothing is on its way any more"
            assert self._queue[0][0] <= start + within, f"not within {within} s"
            self._step()
        return self.now - start

    def kill(self, node: Node) -> None:
        """Ends a process: its peers see their connections break."""
        node.running = False
        for peer in list(node.connections):
            self._disconnect(node, self.nodes[peer])

    def restart(self, node: Node, via: Node) -> None:
        """Starts a killed process again, with its identity and nothing else."""
        node.dht = Dht(node.address, Random(self.random.random()), self.now)
        node.running = True
        node.tick_at = float("inf")
        node.dht.meet([via.address], self.now)
        self._settle(node)

    def find(self, node: Node, key: Key, within: float = 5.0) -> tuple[set[PeerId], float]:
        """Walks for providers; returns them and the seconds it took."""
        job = node.dht.find(key, self.now)
        self._settle(node)
        seconds = self.run_until(lambda: job in node.finished, within)
        return set(node.found.get(job, [])), seconds

    def do(self, node: Node, job: int, within: float = 10.0) -> float:
        """Runs until a job that was just given to a node is finished."""
        self._settle(node)
        return self.run_until(lambda: job in node.finished, within)

    def _step(self) -> None:
        self.now, _, action = heapq.heappop(self._queue)
        action()

    def _at(self, when: float, action: Callable[[], None]) -> None:
        self._scheduled += 1
        heapq.heappush(self._queue, (when, self._scheduled, action))

    def _settle(self, node: Node) -> None:
        """Carries out what a node wants done and plans its next tick."""
        for command in node.dht.commands():
            self._carry_out(node, command)
        when = node.dht.next_tick
        if when < node.tick_at:
            node.tick_at = when
            self._at(max(when, self.now), lambda dht=node.dht: self._tick(node, dht, when))

    def _tick(self, node: Node, dht: Dht, when: float) -> None:
        if node.running and node.dht is dht and node.tick_at == when:
            node.tick_at = float("inf")
            dht.tick(self.now)
            self._settle(node)

    def _carry_out(self, node: Node, command: Command) -> None:
        match command:
            case Found(job, providers):
                node.found.setdefault(job, []).extend(provider.peer for provider in providers)
            case Finished(job):
                node.finished[job] = self.now
            case Ask():
                self._ask(node, command)
            case Announce():
                self._announce(node, command)

    def _ask(self, node: Node, ask: Ask) -> None:
        peer = self._reach(node, ask.peer)
        dht = node.dht
        if peer is None:
            self._at(self.now + self._hop(), lambda: self._report(node, dht, ask.ticket, None))
            return
        answered = False

        def deliver() -> None:
            if not peer.running or peer.silent or ask.protocol not in peer.protocols:
                return
            self.messages += 1
            try:
                answer = self._serve(peer, node, ask.protocol, ask.message)
            except BadMessage:
                answer = None
            if self.random.random() >= self._loss:
                self._at(self.now + self._hop(), lambda: reply(answer))

        def reply(answer: bytes | None) -> None:
            nonlocal answered
            if not answered:
                answered = True
                self._report(node, dht, ask.ticket, answer)

        self._at(self.now + self._hop(), deliver)
        self._at(self.now + ask.timeout, lambda: reply(None))

    def _announce(self, node: Node, announce: Announce) -> None:
        peer = self._reach(node, announce.peer)
        dht = node.dht

        def deliver() -> None:
            ok = peer is not None and peer.running and not peer.silent
            if ok:
                for message in dht.announcements(announce.keys):
                    self.messages += 1
                    self._serve(peer, node, KAD_PROTOCOL, message)
            self._report(node, dht, announce.ticket, b"" if ok else None)

        self._at(self.now + self._hop(), deliver)

    def _serve(self, peer: Node, sender: Node, protocol: str, message: bytes) -> bytes | None:
        serve = peer.dht.request if protocol == KAD_PROTOCOL else peer.dht.withdrawal
        answer = serve(sender.address, message, self.now)
        self._settle(peer)
        return answer

    def _report(self, node: Node, dht: Dht, ticket: int, answer: bytes | None) -> None:
        if not node.running or node.dht is not dht:
            return
        if answer is None:
            dht.failed(ticket, self.now)
        else:
            dht.answered(ticket, answer, self.now)
        self._settle(node)

    def _reach(self, node: Node, address: PeerAddress) -> Node | None:
        """Connects when needed; None when the peer's machine refuses."""
        peer = self.nodes.get(address.peer)
        assert peer is not None, f"a message to a peer that never was: {address}"
        assert address.addresses == peer.address.addresses, f"a wrong address: {address}"
        assert peer is not node, "a message to oneself"
        if not peer.running:
            return None
        if peer.address.peer not in node.connections and not peer.silent:
            node.connections.add(peer.address.peer)
            peer.connections.add(node.address.peer)
            when = self.now + self._hop()
            for one, other in ((node, peer), (peer, node)):
                event = PeerConnected(other.address, other.protocols, "test")
                self._at(when, lambda one=one, event=event: self._happened(one, event))
        return peer

    def _disconnect(self, node: Node, peer: Node) -> None:
        node.connections.discard(peer.address.peer)
        peer.connections.discard(node.address.peer)
        event = PeerDisconnected(node.address.peer)
        self._at(self.now + self._hop(), lambda: self._happened(peer, event))

    def _happened(self, node: Node, event: PeerConnected | PeerDisconnected) -> None:
        if node.running:
            node.dht.happened(event, self.now)
            self._settle(node)

    def _hop(self) -> float:
        return self._delay * self.random.uniform(0.5, 1.5)
