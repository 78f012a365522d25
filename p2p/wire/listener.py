"""The sockets that peers dial."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
from collections.abc import Sequence

import trio

_BACKLOG = 128


class ListenError(OSError):
    """The node cannot listen where it was told to."""


async def open_listeners(listen: Sequence[str], port: int) -> list[trio.SocketListener]:
    """Listens on each address, on one and the same port.

    IPv4 and IPv6 have sockets of their own, so that remote addresses stay what they are, and
    no SO_REUSEPORT is set, with which a second process would share the port without a word. A
    machine without IPv6 does without the IPv6 wildcard.

    Args:
        listen: IP addresses.
        port: TCP port; 0 takes one that is free on all of them.

    Raises:
        ListenError: Names the address, the cause and the remedy.
    """
    opened: list[trio.SocketListener] = []
    try:
        for text in listen:
            ip = ipaddress.ip_address(text)
            try:
                opened.append(await _open(ip, port))
            except OSError as error:
                if ip.version == 6 and ip.is_unspecified and _no_ipv6(error) and len(listen) > 1:
                    continue
                raise ListenError(_explain(text, port, error)) from error
            port = port or opened[0].socket.getsockname()[1]
    except BaseException:
        for listener in opened:
            listener.socket.close()
        raise
    return opened


async def _open(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> trio.SocketListener:
    family = trio.socket.AF_INET if ip.version == 4 else trio.socket.AF_INET6
    sock = trio.socket.socket(family, trio.socket.SOCK_STREAM)
    try:
        # Only lets a restart pass connections in TIME_WAIT; two listeners still exclude each other.
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
        if ip.version == 6:
            sock.setsockopt(trio.socket.IPPROTO_IPV6, trio.socket.IPV6_V6ONLY, 1)
        await sock.bind((str(ip), port))
        sock.listen(_BACKLOG)
        return trio.SocketListener(sock)
    except BaseException:
        with contextlib.suppress(OSError):
            sock.close()
        raise


def _no_ipv6(error: OSError) -> bool:
    return error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def _explain(address: str, port: int, error: OSError) -> str:
    where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    remedy = {
        errno.EADDRINUSE: "another program has this port: stop it (see `ss -ltnp`), or choose "
        "another p2p port, the same on every node",
        errno.EADDRNOTAVAIL: "no interface has this address: correct node-ip or the listen address",
        errno.EACCES: "this user may not use this port: choose one above 1023",
    }.get(error.errno or 0, "check the listen address")
    return f"cannot listen for peers on {where}: {os.strerror(error.errno or 0)}; {remedy}"
