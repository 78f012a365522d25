"""Multiaddrs, as far as this network uses them: TCP over an IP address."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import base58

from p2p.port import PeerId

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_IP4, _TCP, _IP6 = 0x04, 0x06, 0x29
_IP_CLASSES: dict[str, type[IPAddress]] = {
    "ip4": ipaddress.IPv4Address,
    "ip6": ipaddress.IPv6Address,
}
_PEER_ID_LENGTHS = range(34, 43)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a peer listens.

    Attributes:
        ip: Its address.
        port: Its TCP port.
    """

    ip: IPAddress
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.ip.version == 6 else f"{self.ip}:{self.port}"

    @property
    def text(self) -> str:
        """The multiaddr as text, `/ip4/10.0.0.4/tcp/5001`."""
        return f"/ip{self.ip.version}/{self.ip}/tcp/{self.port}"

    def pack(self) -> bytes:
        """The multiaddr in binary."""
        code = _IP4 if self.ip.version == 4 else _IP6
        return bytes((code, *self.ip.packed, _TCP)) + self.port.to_bytes(2, "big")


def unpack(address: bytes) -> Endpoint | None:
    """Reads a binary multiaddr; None for any that is not plain TCP over IP (QUIC, DNS, relay)."""
    size = {_IP4: 4, _IP6: 16}.get(address[0]) if address else None
    if size is None or len(address) != size + 4 or address[size + 1] != _TCP:
        return None
    port = int.from_bytes(address[-2:], "big")
    return Endpoint(ipaddress.ip_address(address[1 : size + 1]), port) if port else None


def is_dialable(ip: IPAddress) -> bool:
    """Whether connecting to this address can reach another node."""
    return not (ip.is_unspecified or ip.is_multicast)


@dataclass(frozen=True, slots=True)
class ParsedMultiaddr:
    """A multiaddr from a configuration or another node's list.

    Attributes:
        ip: The address.
        port: The TCP port, None where only the address is given.
        peer: The peer id, None where it has to be learned.
    """

    ip: IPAddress
    port: int | None
    peer: PeerId | None


def parse_multiaddr(text: str) -> ParsedMultiaddr:
    """Reads `/ip4/10.0.0.4[/tcp/5001][/p2p/<id>]`, and `/ip6/...` likewise.

    Raises:
        ValueError: It is anything else; the message says what was expected.
    """
    parts = text.strip().strip("/").split("/")
    values = dict(zip(parts[::2], parts[1::2], strict=False))
    known = {parts[0], "tcp", "p2p"}
    if len(parts) % 2 or len(values) * 2 != len(parts) or not values.keys() <= known:
        raise ValueError(_expected(text))
    try:
        ip = _IP_CLASSES[parts[0]](values[parts[0]])
        port = int(values["tcp"]) if "tcp" in values else None
    except (KeyError, ValueError) as error:
        raise ValueError(_expected(text)) from error
    if port is not None and not 0 < port < 65536:
        raise ValueError(_expected(text))
    return ParsedMultiaddr(ip, port, parse_peer_id(values["p2p"]) if "p2p" in values else None)


def parse_peer_id(text: str) -> PeerId:
    """Reads a peer id in base58, `12D3Koo...` or `Qm...`.

    Raises:
        ValueError: It is none.
    """
    try:
        raw = base58.b58decode(text)
    except ValueError as error:
        raise ValueError(f"invalid peer id {text[:80]!r}: not base58") from error
    if len(raw) not in _PEER_ID_LENGTHS or raw[1] != len(raw) - 2:
        raise ValueError(f"invalid peer id {text[:80]!r}: not a multihash of a public key")
    return PeerId(raw)


def show_peer(peer: PeerId) -> str:
    """The peer id in base58, as Go prints it."""
    return base58.b58encode(peer).decode()


def _expected(text: str) -> str:
    return f"invalid address {text[:120]!r}: expected /ip4/<address>[/tcp/<port>][/p2p/<peer id>]"
