"""The DHT's messages: protobuf bytes from and to the words of `p2p.port`."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as AnyMessage

from p2p.kad.addresses import usable
from p2p.kad.pb.dht_pb2 import Message, Withdrawal, Withdrawn
from p2p.port import BadMessage, Key, PeerAddress, PeerId

_M = TypeVar("_M", bound=AnyMessage)

MAX_MESSAGE = 1 << 20
"""Bytes. Frames may have 4 MiB, but a megabyte of empty peers already unpacks to 28 MiB."""

MAX_KEY = 80
"""Bytes; what Go's handlers take."""

MAX_PEERS = 100
"""Peers read from each list of one message; the rest is passed over."""

MAX_WITHDRAWN = 10_000
"""Keys read from one withdrawal."""

WITHDRAWN = Withdrawn(done=True).SerializeToString()
"""The answer to every withdrawal."""


def decode(data: bytes) -> Message:
    """Reads a message of the Kademlia protocol.

    Raises:
        BadMessage: It is too long, no protobuf, or its key is too long.
    """
    message = _parse(Message, data)
    if len(message.key) > MAX_KEY:
        raise BadMessage(f"a key of {len(message.key)} bytes: at most {MAX_KEY} are taken")
    return message


def peers_in(peers: Iterable[Message.Peer], skip: Container[PeerId] = ()) -> Iterator[PeerAddress]:
    """The peers of a list that have a well-formed id, are not in `skip` and could be dialled."""
    for peer in islice(peers, MAX_PEERS):
        peer_id = PeerId(peer.id)
        if peer_id in skip or not is_peer_id(peer_id):
            continue
        addresses = usable(peer.addrs)
        if addresses:
            yield PeerAddress(peer_id, addresses)


def is_peer_id(data: bytes) -> bool:
    """Whether `data` looks like a peer id: an identity or sha2-256 multihash of a public key."""
    return 2 < len(data) <= 66 and data[0] in {0x00, 0x12} and data[1] == len(data) - 2


def peer_message(peer: PeerAddress) -> Message.Peer:
    """A peer as it stands in lists; worth keeping, for it goes into many answers."""
    return Message.Peer(id=peer.peer, addrs=peer.addresses, connection=Message.CONNECTED)


def find_node(target: bytes) -> bytes:
    """Asks for the peers nearest to a peer id or to any other bytes."""
    return Message(type=Message.FIND_NODE, key=target).SerializeToString()


def get_providers(key: Key) -> bytes:
    """Asks for a key's providers and the peers nearest to it."""
    return Message(type=Message.GET_PROVIDERS, key=key).SerializeToString()


def answer(
    request: Message, closer: Iterable[Message.Peer], providers: Iterable[Message.Peer] = ()
) -> bytes:
    """Answers FIND_NODE, GET_VALUE or GET_PROVIDERS."""
    reply = Message(type=request.type, key=request.key)
    reply.closer_peers.extend(closer)
    reply.provider_peers.extend(providers)
    return reply.SerializeToString()


def add_provider(provider: PeerAddress, keys: Iterable[Key]) -> list[bytes]:
    """One message a key, saying that `provider` has it.

    None at all while the provider has no address: Go resets the stream on such a message, and
    everything pipelined behind it is lost without a sign (measured).
    """
    if not provider.addresses:
        return []
    # Put together by hand, as only the key differs: 15 times the speed for thousands of keys.
    head = Message(type=Message.ADD_PROVIDER).SerializeToString()
    tail = Message(provider_peers=[peer_message(provider)]).SerializeToString()
    return [head + b"\x12" + bytes((len(key),)) + key + tail for key in keys]


def withdrawal(keys: Sequence[Key] = (), *, leaving: bool = False, anew: bool = False) -> bytes:
    """Takes back the sender's records of `keys`, or all: it is leaving, or says them anew."""
    return Withdrawal(keys=keys, leaving=leaving, anew=anew).SerializeToString()


def decode_withdrawal(data: bytes) -> Withdrawal:
    """Reads a withdrawal.

    Raises:
        BadMessage: It is too long, no protobuf, or has too many keys or too long ones.
    """
    message = _parse(Withdrawal, data)
    if len(message.keys) > MAX_WITHDRAWN:
        raise BadMessage(f"{len(message.keys)} keys to withdraw: at most {MAX_WITHDRAWN} are taken")
    if any(len(key) > MAX_KEY for key in message.keys):
        raise BadMessage(f"a key to withdraw is too long: at most {MAX_KEY} bytes are taken")
    return message


def _parse(kind: type[_M], data: bytes) -> _M:
    if len(data) > MAX_MESSAGE:
        raise BadMessage(f"a message of {len(data)} bytes: at most {MAX_MESSAGE} are read")
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise BadMessage(f"{len(data)} bytes that are no {kind.__name__}") from error
