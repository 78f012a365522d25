"""How connections come to be: dialled from here, or taken from a listener."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from p2p.port import PeerId, PeerUnreachable
from p2p.wire.address import Endpoint, IPAddress, show_peer
from p2p.wire.admission import Admission
from p2p.wire.socket import WireSocket, connect
from p2p.wire.suspects import Suspects
from p2p.wire.upgrade import HandshakeFailed, Upgraded, Upgrader

if TYPE_CHECKING:
    from p2p.settings import Limits
    from p2p.wire.identity import Identity

log = logging.getLogger("spegla.p2p")

DIAL_SECONDS = 1.5
"""Connecting and handshake with one address of a peer."""

HANDSHAKE_SECONDS = 5.0
"""For a peer that dials us: it may be on a slow machine, and holds a place meanwhile."""


class Doors:
    """Both ways in, with the handshakes behind them.

    Attributes:
        admission: Counts those who dialled us.
    """

    def __init__(self, identity: Identity, psk: bytes | None, limits: Limits) -> None:
        self.admission = Admission(limits)
        self._own = identity.peer
        self._psk = psk
        self._upgrader = Upgrader(identity)
        self._suspects = Suspects()

    async def dial(self, endpoint: Endpoint, expected: PeerId | None = None) -> Upgraded:
        """Connects to one address of a peer, or to whoever listens there.

        Raises:
            PeerUnreachable: Nobody, no peer, or another than expected; told in the message.
        """
        deadline = trio.current_time() + DIAL_SECONDS
        try:
            with trio.fail_at(deadline):
                stream = await connect(endpoint)
        except trio.TooSlowError:
            raise PeerUnreachable(f"no connection within {DIAL_SECONDS:g} s") from None
        except OSError as error:
            raise PeerUnreachable(str(error.strerror or error)) from error
        try:
            upgraded = await self._upgrader.upgrade(
                self._socket(stream, endpoint.ip, endpoint.port, is_initiator=True),
                max(0.1, deadline - trio.current_time()),
            )
        except HandshakeFailed as error:
            self._warn_of_key(endpoint.ip, f"dialled {endpoint}", error)
            raise PeerUnreachable(f"handshake: {error}") from error
        self._suspects.cleared(endpoint.ip)
        if expected is not None and upgraded.peer != expected:
            upgraded.socket.abort()
            raise PeerUnreachable(f"another peer answered, {show_peer(upgraded.peer)}")
        return upgraded

    async def take(
        self, stream: trio.SocketStream, carry: Callable[[Upgraded], Awaitable[None]]
    ) -> None:
        """Shakes hands with who dialled us, and holds its place while `carry` runs.

        Whoever is too many, or no peer, is closed. Never raises but for cancellation.
        """
        try:
            name = stream.socket.getpeername()
        except OSError:  # gone already
            stream.socket.close()
            return
        remote = ipaddress.ip_address(name[0].partition("%")[0])
        if not self.admission.begin(remote):
            log.debug("refused a connection from %s: too many", remote)
            stream.socket.close()
            return
        try:
            socket = self._socket(stream, remote, name[1], is_initiator=False)
            try:
                upgraded = await self._upgrader.upgrade(socket, HANDSHAKE_SECONDS)
            except HandshakeFailed as error:
                if socket.has_received:  # else a port scan, or a probe of health
                    self._warn_of_key(remote, f"{remote} dialled us", error)
                return
            finally:
                self.admission.shaken(remote)
            self._suspects.cleared(remote)
            if upgraded.peer == self._own:
                socket.abort()
                return
            await carry(upgraded)
        finally:
            self.admission.end(remote)

    def _socket(
        self, stream: trio.SocketStream, remote: IPAddress, port: int, *, is_initiator: bool
    ) -> WireSocket:
        return WireSocket(stream, remote, port, is_initiator=is_initiator, psk=self._psk)

    def _warn_of_key(self, remote: IPAddress, what: str, error: HandshakeFailed) -> None:
        """Names an address that is there and yet no peer, the sign of a wrong key."""
        if not self._suspects.failed(remote, trio.current_time()):
            log.debug("%s: %s", what, error)
            return
        log.warning(
            "%s, but the handshakes keep failing (%s): check that both have the same pre-shared "
            "key, or both none",
            what,
            error,
        )
