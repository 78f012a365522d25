"""The host: `p2p.port.Host` on TCP, noise and yamux."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio

from p2p.port import (
    Handler,
    PeerAddress,
    PeerConnected,
    PeerDisconnected,
    PeerEvent,
    PeerId,
    PeerUnreachable,
)
from p2p.wire.address import Endpoint, is_dialable, show_peer, unpack
from p2p.wire.connection import Connection
from p2p.wire.dialer import dial_first
from p2p.wire.doors import Doors
from p2p.wire.frames import MAX_MESSAGE_BYTES, frame
from p2p.wire.identify import write_identify
from p2p.wire.identity import IDENTITY_FILE, Identity, load_or_create
from p2p.wire.interfaces import InterfaceAddress, announced_ips, read_interfaces
from p2p.wire.line import Exchange, Line
from p2p.wire.listener import open_listeners
from p2p.wire.services import Services
from p2p.wire.upgrade import Upgraded

if TYPE_CHECKING:
    from p2p.settings import Settings
    from p2p.wire.stream import BufferedStream

log = logging.getLogger("spegla.p2p")

Interfaces = Callable[[], Sequence[InterfaceAddress]]
"""Reads the machine's addresses; raises `OSError` where the kernel does not tell."""

_MAX_CONNECTIONS_PER_PEER = 4
_SWEEP_SECONDS = 30.0
_WATCH_SECONDS = 5.0
_IDLE_SECONDS = 60.0


@asynccontextmanager
async def open_host(
    settings: Settings, interfaces: Interfaces = read_interfaces
) -> AsyncIterator[Host]:
    """Runs a host, not listening yet, until the block is left. Closing takes a second at most.

    Args:
        settings: Where to listen, and the rest.
        interfaces: Reads the machine's addresses.

    Raises:
        IdentityError: `peer.key` cannot be used.
    """
    identity = await trio.to_thread.run_sync(load_or_create, settings.data_dir / IDENTITY_FILE)
    async with trio.open_nursery() as nursery:
        host = Host(settings, identity, nursery, interfaces)
        nursery.start_soon(host.sweep)
        yield host
        nursery.cancel_scope.cancel()


class Host:
    """Connections to peers, and the kept lines over them. Made by `open_host`."""

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        nursery: trio.Nursery,
        interfaces: Interfaces,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._nursery = nursery
        self._interfaces = interfaces
        self._doors = Doors(identity, settings.psk, settings.limits)
        self._services = Services(self._describe, self._on_identified)
        self._connections: dict[PeerId, list[Connection]] = {}
        self._lines: dict[tuple[PeerId, str], Line] = {}
        self._dialing: dict[PeerId, trio.Event] = {}
        self._identified: set[PeerId] = set()
        self._listeners: list[Callable[[PeerEvent], None]] = []
        self._port = settings.port
        self._own: frozenset[Endpoint] = frozenset()
        self._local = PeerAddress(identity.peer, ())

    @property
    def local(self) -> PeerAddress:
        """This node and the addresses it announces; none before it listens."""
        return self._local

    @property
    def connections(self) -> int:
        """Open connections, both ways. Safe to call from another thread."""
        return sum(map(len, list(self._connections.values())))

    @property
    def port(self) -> int:
        """The TCP port listened on, for a setting of 0 known after `listen`."""
        return self._port

    def latency(self, peer: PeerId) -> float | None:
        """Round trip to a connected peer in seconds; None before it was measured."""
        measured = [c.latency for c in self._connections.get(peer, ()) if c.latency > 0]
        return min(measured, default=None)

    def handle(self, protocol: str, handler: Handler) -> None:
        """Lets `handler` answer what peers send on `protocol`. Call before `listen`."""
        self._services.add(protocol, handler)

    def subscribe(self, listener: Callable[[PeerEvent], None]) -> None:
        """Calls `listener` on every peer that connects or disconnects."""
        self._listeners.append(listener)

    async def listen(self) -> None:
        """Opens the listening sockets and starts to take connections.

        Raises:
            ListenError: An address is not there or taken; the message names it.
        """
        listeners = await open_listeners(self._settings.listen, self._settings.port)
        self._port = listeners[0].socket.getsockname()[1]
        self._find_addresses()
        if not self._local.addresses:
            log.warning("no address to announce yet: peers cannot reach this node; set node-ip")
        for listener in listeners:
            self._nursery.start_soon(self._accept, listener)
        self._nursery.start_soon(self._watch_addresses)

    async def request(
        self, peer: PeerAddress, protocol: str, message: bytes, timeout: float
    ) -> bytes:
        """Sends one message on the kept line and returns its answer; see `Transport.request`."""
        return await self._exchange(peer, protocol, [message], timeout, wants_answer=True)

    async def send(
        self, peer: PeerAddress, protocol: str, messages: Sequence[bytes], timeout: float
    ) -> None:
        """Writes messages without answer on the kept line; see `Transport.send`."""
        if messages:
            await self._exchange(peer, protocol, messages, timeout, wants_answer=False)

    async def identify(self, address: bytes, timeout: float) -> PeerAddress:
        """Learns who listens at a binary multiaddr; the connection is kept, and serves again.

        Raises:
            PeerUnreachable: Nobody who speaks libp2p with this network's key answers there.
        """
        endpoint = unpack(address)
        if endpoint is None:
            raise PeerUnreachable("not an address of TCP over IP")
        for connection in self._all():
            if connection.is_open and connection.dialled == endpoint:
                return PeerAddress(connection.peer, (address,))
        upgraded: list[Upgraded] = []
        with trio.move_on_after(timeout):
            upgraded.append(await self._doors.dial(endpoint))
        if not upgraded:
            raise PeerUnreachable(f"{endpoint}: no answer within {timeout:g} s")
        peer = upgraded[0].peer
        if peer == self._identity.peer:
            upgraded[0].socket.abort()
        else:
            self._start(upgraded[0])
        return PeerAddress(peer, (address,))

    async def disconnect(self, peer: PeerId) -> None:
        """Drops every connection to a peer. Never raises, bounded to one second."""
        closing = list(self._connections.get(peer, ()))
        for connection in closing:
            connection.close()
        with trio.move_on_after(1.0):
            for connection in closing:
                await connection.ended.wait()

    async def sweep(self) -> None:
        """Closes idle connections for as long as three quarters of the places are taken."""
        while True:
            await trio.sleep(_SWEEP_SECONDS)
            surplus = self.connections - self._settings.limits.connections * 3 // 4
            before = trio.current_time() - _IDLE_SECONDS
            idle = sorted(
                (c for c in self._all() if c.is_idle and c.used_at < before),
                key=lambda connection: connection.used_at,
            )
            for connection in idle[: max(0, surplus)]:
                connection.close()

    def _all(self) -> Iterator[Connection]:
        return (c for connections in self._connections.values() for c in connections)

    async def _exchange(
        self,
        peer: PeerAddress,
        protocol: str,
        messages: Sequence[bytes],
        timeout: float,
        *,
        wants_answer: bool,
    ) -> bytes:
        if any(len(message) > MAX_MESSAGE_BYTES for message in messages):
            raise ValueError(f"a message is larger than {MAX_MESSAGE_BYTES} bytes")
        data = b"".join(frame(message) for message in messages)
        exchange = Exchange(data, wants_answer, trio.current_time() + timeout)
        self._line(peer, protocol).submit(exchange)
        with trio.move_on_after(timeout):
            await exchange.done.wait()
        if not exchange.done.is_set():
            raise PeerUnreachable(f"{show_peer(peer.peer)} did not answer within {timeout:g} s")
        if exchange.error is not None:
            raise PeerUnreachable(f"{show_peer(peer.peer)}: {exchange.error}")
        return exchange.answer

    def _line(self, peer: PeerAddress, protocol: str) -> Line:
        key = (peer.peer, protocol)
        line = self._lines.get(key)
        if line is None or line.closed:
            line = self._lines[key] = Line(protocol, peer, self._open_stream)
            self._nursery.start_soon(self._run_line, key, line)
        line.peer = peer
        return line

    async def _open_stream(self, peer: PeerAddress) -> BufferedStream:
        return await (await self._connect(peer)).open_stream()

    async def _run_line(self, key: tuple[PeerId, str], line: Line) -> None:
        try:
            await line.run()
        finally:
            if self._lines.get(key) is line:
                del self._lines[key]

    async def _connect(self, peer: PeerAddress) -> Connection:
        """The newest open connection to a peer, or a new one; one dial at a time to each."""
        while True:
            for connection in reversed(self._connections.get(peer.peer, ())):
                if connection.is_open:
                    return connection
            dialing = self._dialing.get(peer.peer)
            if dialing is None:
                break
            await dialing.wait()
        if peer.peer == self._identity.peer:
            raise PeerUnreachable("this is our own peer id")
        self._dialing[peer.peer] = trio.Event()
        try:
            upgraded = await dial_first(
                self._dialable(peer.addresses),
                lambda endpoint: self._doors.dial(endpoint, peer.peer),
                lambda late: late.socket.abort(),
            )
            return self._start(upgraded)
        finally:
            self._dialing.pop(peer.peer).set()

    def _dialable(self, addresses: Sequence[bytes]) -> list[Endpoint]:
        endpoints = [endpoint for address in addresses if (endpoint := unpack(address))]
        return [
            endpoint
            for endpoint in dict.fromkeys(endpoints)
            if is_dialable(endpoint.ip) and endpoint not in self._own
        ]

    def _find_addresses(self) -> None:
        present = self._interfaces()
        ips = announced_ips(self._settings.listen, self._settings.announce, present)
        self._local = PeerAddress(
            self._identity.peer, tuple(Endpoint(ip, self._port).pack() for ip in ips)
        )
        self._own = frozenset(
            Endpoint(ip, self._port) for ip in (*ips, *(found.ip for found in present))
        )

    async def _watch_addresses(self) -> None:
        """Follows the machine's addresses, and tells the peers when they change.

        A node may start before its network does; an IPv6 address is there for a second or two
        before it may be used; and a lease of DHCP may end.
        """
        while True:
            await trio.sleep(_WATCH_SECONDS)
            before = self._local.addresses
            try:
                self._find_addresses()
            except OSError as error:
                log.debug("cannot read the interfaces: %s", error)
            if self._local.addresses == before:
                continue
            ends = [str(end) for address in self._local.addresses if (end := unpack(address))]
            log.info("this node's addresses are now %s", ", ".join(ends) or "none")
            for connection in self._all():
                self._nursery.start_soon(connection.push, self._describe(connection))

    async def _accept(self, listener: trio.SocketListener) -> None:
        # `serve_listeners` survives running out of descriptors: it waits and goes on.
        take = partial(self._doors.take, carry=self._carry)
        await trio.serve_listeners(take, [listener], handler_nursery=self._nursery)

    async def _carry(self, upgraded: Upgraded) -> None:
        await self._run(self._register(upgraded))

    def _start(self, upgraded: Upgraded) -> Connection:
        connection = self._register(upgraded)
        self._nursery.start_soon(self._run, connection)
        return connection

    def _register(self, upgraded: Upgraded) -> Connection:
        connection = Connection(upgraded, self._services.serve)
        connections = self._connections.setdefault(upgraded.peer, [])
        connections.append(connection)
        for surplus in [c for c in connections if c.is_open][:-_MAX_CONNECTIONS_PER_PEER]:
            surplus.close()
        return connection

    async def _run(self, connection: Connection) -> None:
        try:
            await connection.run(self._on_identified)
        finally:
            remaining = self._connections[connection.peer]
            remaining.remove(connection)
            if not remaining:
                del self._connections[connection.peer]
                if connection.peer in self._identified:
                    self._identified.remove(connection.peer)
                    self._publish(PeerDisconnected(connection.peer))

    def _on_identified(self, connection: Connection) -> None:
        if connection.about is not None:
            self._identified.add(connection.peer)
            self._publish(connection.about)

    def _publish(self, event: PeerConnected | PeerDisconnected) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener for peers failed")

    def _describe(self, connection: Connection) -> bytes:
        return write_identify(
            self._identity.keys.public_key,
            self._local.addresses,
            self._services.protocols,
            self._settings.agent,
            connection.remote.pack(),
        )
