"""Which of the addresses that peers tell are worth keeping."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

MAX_BYTES = 8192
"""Addresses of one peer in all, as in Go."""

MAX_ADDRESSES = 32
"""More than any node of a cluster has interfaces."""

_TCP = 6
"""Multiaddr code of TCP; `/ip4` is 4 and `/ip6` 41, each one byte before the binary IP."""


def usable(addresses: Iterable[bytes]) -> tuple[bytes, ...]:
    """The `/ip4|ip6/…/tcp/…` multiaddrs among `addresses`, each once, capped.

    Others could not be dialled here, and one that names no IP makes Go's nodes drop the whole
    provider; a wildcard they believe literally, and would ask themselves (facts of Spegel's wire).
    """
    kept: dict[bytes, None] = {}
    room = MAX_BYTES
    for address in addresses:
        if len(kept) == MAX_ADDRESSES or len(address) > room:
            break
        if address not in kept and _is_tcp(address):
            kept[address] = None
            room -= len(address)
    return tuple(kept)


def ips(addresses: Iterable[bytes]) -> tuple[str, ...]:
    """The plain IPs of usable multiaddrs, IPv6 first, each once."""
    found = dict.fromkeys(ipaddress.ip_address(address[1:-3]) for address in addresses)
    return tuple(str(ip) for ip in sorted(found, key=lambda ip: -ip.version))


def _is_tcp(address: bytes) -> bool:
    match len(address), address[:1]:
        case 8, b"\x04":
            ip = address[1:5]
            return address[5] == _TCP and any(ip) and ip[0] < 224
        case 20, b"\x29":
            ip = address[1:17]
            routed = ip[0] != 0xFF and not (ip[0] == 0xFE and ip[1] & 0xC0 == 0x80)
            return address[17] == _TCP and any(ip) and routed
        case _:
            return False
