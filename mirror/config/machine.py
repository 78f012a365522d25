"""What the machine itself tells when the configuration does not: addresses, name, containerd."""

from __future__ import annotations

import fcntl
import socket
import struct
from ipaddress import ip_address
from pathlib import Path

from mirror.config.node import CONTAINERD_SOCKET, K3S_CONTAINERD_SOCKET
from mirror.config.values import IpAddress

# Addresses for documentation (RFC 5737, RFC 3849): nothing is ever sent, the kernel only says
# which of its own addresses it would send from.
_SOMEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
_SIOCGIFADDR = 0x8915


def node_name() -> str:
    """The host name in lower case, as Kubernetes names nodes."""
    return socket.gethostname().lower()


def node_address() -> IpAddress | None:
    """The address of the default route, else the first one that is not loopback, else None."""
    for family, target in _SOMEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))
                return ip_address(probe.getsockname()[0])
        except OSError:
            continue
    return _first_interface_address()


def containerd_socket(
    data_dir: Path, k3s: Path = K3S_CONTAINERD_SOCKET, usual: Path = CONTAINERD_SOCKET
) -> Path:
    """The socket that is there, K3s's first; before either is, the one that will be.

    At boot an agent may be up before K3s, whose containerd's root below `data_dir` tells then.
    """
    if is_there(k3s) or (not is_there(usual) and is_there(data_dir / "agent" / "containerd")):
        return k3s
    return usual


def is_there(path: Path) -> bool:
    """Whether there is anything at `path`, as far as this user may see."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def _first_interface_address() -> IpAddress | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:
                continue
            address = ip_address(answer[20:24])
            if not address.is_loopback:
                return address
    return None
