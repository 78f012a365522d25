"""The identify message: what peers tell each other on a new connection."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from libp2p.identity.identify.pb.identify_pb2 import Identify

from p2p.port import PeerAddress, PeerConnected, PeerId
from p2p.wire.address import is_dialable, unpack
from p2p.wire.frames import ByteStream, ProtocolError, read_frame

if TYPE_CHECKING:
    from libp2p.crypto.keys import PublicKey

IDENTIFY = "/ipfs/id/1.0.0"
IDENTIFY_PUSH = "/ipfs/id/push/1.0.0"

_MAX_BYTES = 64 * 1024
_MAX_MESSAGES = 10  # go-libp2p sends the signed record in a second message, and reads up to ten
_MAX_ADDRESSES = 16
_MAX_PROTOCOLS = 128


def write_identify(
    public_key: PublicKey,
    addresses: Collection[bytes],
    protocols: Collection[str],
    agent: str,
    observed: bytes,
) -> bytes:
    """The message that tells a peer about this node.

    Go takes a peer into its routing table only if the DHT's protocol is listed here.
    """
    return Identify(
        protocol_version="ipfs/0.1.0",
        agent_version=agent,
        public_key=public_key.serialize(),
        listen_addrs=addresses,
        observed_addr=observed,
        protocols=sorted(protocols),
    ).SerializeToString()


async def read_identify(stream: ByteStream, peer: PeerId) -> PeerConnected:
    """Reads what a peer tells, up to the end of its stream.

    Raises:
        ProtocolError: It is no identify message.
    """
    message = Identify()
    for count in range(_MAX_MESSAGES):
        try:
            part = await read_frame(stream, _MAX_BYTES)
        except ProtocolError:
            raise
        except Exception:
            # The end of the stream has as many types as there are layers; the first must be there.
            if count == 0:
                raise
            break
        try:
            message.MergeFromString(part)
        except DecodeError as error:
            raise ProtocolError("the peer's identify message cannot be read") from error
    return PeerConnected(
        PeerAddress(peer, usable_addresses(message.listen_addrs)),
        frozenset(message.protocols[:_MAX_PROTOCOLS]),
        message.agent_version[:100],
    )


def usable_addresses(addresses: Collection[bytes]) -> tuple[bytes, ...]:
    """Those that can be dialled over TCP, each once: v0.7.0 also lists QUIC."""
    usable: dict[bytes, None] = {}
    for address in addresses:
        endpoint = unpack(address)
        if endpoint is not None and is_dialable(endpoint.ip):
            usable[address] = None
    return tuple(usable)[:_MAX_ADDRESSES]
