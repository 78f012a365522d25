"""From a TCP connection to an authenticated peer with a stream muxer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio
from libp2p.crypto.x25519 import create_new_key_pair
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import Yamux

from p2p.port import PeerId
from p2p.wire.frames import accept_protocol, propose, read_agreement
from p2p.wire.keys import teach_ecdsa
from p2p.wire.muxer import new_muxer

if TYPE_CHECKING:
    from libp2p.abc import IRawConnection

    from p2p.wire.identity import Identity
    from p2p.wire.socket import WireSocket

_NOISE = "/noise"
_YAMUX = "/yamux/1.0.0"


class HandshakeFailed(Exception):
    """The other side is no peer of ours: other key, other protocol, or it hung up."""


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A connection whose other end is known.

    Attributes:
        peer: Who it is, proven by its key.
        muxer: Streams to it; not started yet.
        socket: What lies below.
    """

    peer: PeerId
    muxer: Yamux
    socket: WireSocket


class Upgrader:
    """Does the handshakes of one node.

    Only noise is offered: Go takes it although it prefers TLS, and py-libp2p's TLS rests on
    ctypes into CPython's SSL context.
    """

    def __init__(self, identity: Identity) -> None:
        teach_ecdsa()
        self._noise = NoiseTransport(identity.keys, noise_privkey=create_new_key_pair().private_key)

    async def upgrade(self, socket: WireSocket, seconds: float) -> Upgraded:
        """Runs both sides' handshake; which one, the socket knows.

        Dialling takes whoever answers: the caller compares `peer` with what it expected, and
        so may also learn the id behind a bare address.

        Raises:
            HandshakeFailed: It did not come to an end in `seconds`; the socket is closed.
        """
        upgraded = False
        try:
            with trio.move_on_after(seconds):
                result = await self._upgrade(socket)
                upgraded = True
                return result
            raise HandshakeFailed(f"no handshake within {seconds:g} s")
        except HandshakeFailed:
            raise
        except Exception as error:
            # noise, protobuf and cryptography raise two dozen types on bytes from outside.
            raise HandshakeFailed(str(error) or type(error).__name__) from error
        finally:
            if not upgraded:
                socket.abort()

    async def _upgrade(self, socket: WireSocket) -> Upgraded:
        await socket.protect()
        raw: IRawConnection = socket  # type: ignore[assignment]  # a duck: nothing else is called
        if socket.is_initiator:
            await socket.write(propose(_NOISE))
            await read_agreement(socket, _NOISE)
            secured = await self._noise.get_pattern().handshake_outbound(raw, None)
            await secured.write(propose(_YAMUX))
            await read_agreement(secured, _YAMUX)
        else:
            await accept_protocol(socket, (_NOISE,))
            secured = await self._noise.get_pattern().handshake_inbound(raw)
            await accept_protocol(secured, (_YAMUX,))
        peer = secured.get_remote_peer()
        muxer = new_muxer(secured, peer, socket, is_initiator=socket.is_initiator)
        return Upgraded(PeerId(peer.to_bytes()), muxer, socket)
