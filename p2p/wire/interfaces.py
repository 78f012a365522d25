"""The IP addresses of this machine, read from the kernel."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from p2p.wire.address import IPAddress

_RTM_GETADDR, _RTM_NEWADDR, _NLMSG_DONE, _NLMSG_ERROR = 22, 20, 3, 2
_NLM_F_REQUEST_DUMP = 0x1 | 0x300
_IFA_ADDRESS, _IFA_LOCAL, _IFA_F_TENTATIVE, _IFA_F_DADFAILED = 1, 2, 0x40, 0x08

_CONTAINER_BRIDGES = ("br-", "cali", "cilium", "cni", "docker", "flannel", "kube-", "nodelocaldns",
                      "podman", "tunl", "veth", "virbr", "vxlan", "weave")  # fmt: skip


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address and the interface that has it."""

    interface: str
    ip: IPAddress


def read_interfaces() -> list[InterfaceAddress]:
    """All addresses of this network namespace, by one netlink dump."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(2.0)
        header = struct.pack("=IHHII", 17, _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0)
        netlink.send(header + bytes((socket.AF_UNSPEC,)) + bytes(3))
        found: list[InterfaceAddress] = []
        while True:
            messages, done = _parse(netlink.recv(256 * 1024))
            found += messages
            if done:
                return found


def announced_ips(
    listen: Sequence[str], announce: Sequence[str], present: Iterable[InterfaceAddress]
) -> list[IPAddress]:
    """Which addresses peers are told, IPv4 first, each once.

    Go dials a wildcard literally, and ends at itself; and it gets no further with the bridges of
    container networks, which have the same addresses on every node.

    Args:
        listen: What is listened on; wildcards stand for the addresses in `present`.
        announce: What the operator names instead; taken as it is.
        present: The machine's addresses.
    """
    if announce:
        return list(dict.fromkeys(ipaddress.ip_address(text) for text in announce))
    chosen: dict[IPAddress, None] = {}
    for text in listen:
        ip = ipaddress.ip_address(text)
        if not ip.is_unspecified:
            chosen[ip] = None
            continue
        for address in present:
            if address.ip.version == ip.version and _is_reachable(address):
                chosen[address.ip] = None
    return sorted(chosen, key=lambda ip: ip.version)


def _is_reachable(address: InterfaceAddress) -> bool:
    return not (
        address.ip.is_loopback
        or address.ip.is_link_local
        or address.interface.startswith(_CONTAINER_BRIDGES)
    )


def _parse(data: bytes) -> tuple[list[InterfaceAddress], bool]:
    found: list[InterfaceAddress] = []
    offset = 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if kind in (_NLMSG_DONE, _NLMSG_ERROR) or length < 16:
            return found, True
        if kind == _RTM_NEWADDR:
            address = _parse_address(data[offset + 16 : offset + length])
            if address is not None:
                found.append(address)
        offset += (length + 3) & ~3
    return found, False


def _parse_address(body: bytes) -> InterfaceAddress | None:
    family, _, flags, _, index = struct.unpack_from("=BBBBI", body)
    if family not in (socket.AF_INET, socket.AF_INET6) or flags & (
        _IFA_F_TENTATIVE | _IFA_F_DADFAILED
    ):
        return None
    attributes: dict[int, bytes] = {}
    offset = 8
    while offset + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, offset)
        if length < 4:
            break
        attributes[kind] = body[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    # On a point-to-point link IFA_ADDRESS is the other end's.
    packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
    if packed is None:
        return None
    try:
        interface = socket.if_indextoname(index)
    except OSError:  # gone since the dump
        return None
    return InterfaceAddress(interface, ipaddress.ip_address(packed))
