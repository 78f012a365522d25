"""Readers of single settings: from a flag, a variable or a YAML value to a typed one.

Each takes what the source gave (`str` from flags and the environment, any scalar or list from
YAML) and raises `ValueError` with what it expected; the loader adds file, key and value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from mirror.oci.reference import is_registry

IpAddress = IPv4Address | IPv6Address

_SIZE = re.compile(r"([0-9]{1,15})\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_SERVER = re.compile(r"https://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_HOST_PORT = re.compile(r"(?:[A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
_TRUE = frozenset({"true", "1", "t", "yes", "on"})
_FALSE = frozenset({"false", "0", "f", "no", "off"})
_MAX_ITEMS = 1000


def text(raw: object) -> str:
    """Any single scalar, without surrounding blanks."""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, str | int | float):
        word = str(raw).strip()
        if any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in word):
            raise ValueError("text in UTF-8 without control characters")
        return word
    raise ValueError("one value, not a list or a mapping")


def optional_text(raw: object) -> str | None:
    """A scalar; nothing or the empty text is None."""
    return None if raw is None else text(raw) or None


def flag(raw: object) -> bool:
    """`true` or `false`, and Go's other spellings of them."""
    word = text(raw).lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("true or false")


def path(raw: object) -> Path:
    """An absolute path."""
    result = Path(text(raw))
    if not result.is_absolute() or "\0" in str(result):
        raise ValueError("an absolute path")
    return result


def optional_path(raw: object) -> Path | None:
    """An absolute path; nothing or the empty text is None."""
    return None if optional_text(raw) is None else path(raw)


def socket_path(raw: object) -> Path:
    """The path of a socket, with or without the `unix://` that other tools write before it."""
    return path(text(raw).removeprefix("unix://"))


def port(raw: object) -> int:
    """A TCP port, 1 to 65535."""
    word = text(raw)
    if not (word.isascii() and word.isdigit() and len(word) <= 5 and 0 < int(word) < 65536):
        raise ValueError("a port from 1 to 65535")
    return int(word)


def size(raw: object) -> int:
    """Bytes, with an optional unit: `1048576`, `100M`, `1GiB`. All units are powers of 1024."""
    match = _SIZE.fullmatch(text(raw))
    if match is None or int(match[1]) == 0:
        raise ValueError("a size above zero such as 500K, 100M or 1G")
    return int(match[1]) << _UNITS[match[2].lower()]


def optional_size(raw: object) -> int | None:
    """As `size`; nothing or the empty text is None."""
    return None if optional_text(raw) is None else size(raw)


def host_port(raw: object) -> str | None:
    """`host:port` to listen on, the host may be left out; nothing or the empty text is None."""
    word = optional_text(raw)
    if word is None:
        return None
    match = _HOST_PORT.fullmatch(word)
    if match is None or not 0 < int(match[1]) < 65536:
        raise ValueError("host:port, such as 127.0.0.1:9090 or [::1]:9090")
    return word


def texts(raw: object) -> tuple[str, ...]:
    """A list, or one text with commas; blanks and repetitions dropped, order kept."""
    items = raw if isinstance(raw, list | tuple) else [raw]
    words = (word.strip() for item in items if item is not None for word in text(item).split(","))
    result = tuple(dict.fromkeys(word for word in words if word))
    if len(result) > _MAX_ITEMS:
        raise ValueError(f"at most {_MAX_ITEMS} values")
    return result


def addresses(raw: object) -> tuple[IpAddress, ...]:
    """IP addresses, as a list or with commas between them."""
    try:
        return tuple(ip_address(word) for word in texts(raw))
    except ValueError as error:
        raise ValueError("IP addresses such as 10.0.0.1 or fd00::1") from error


def bootstrap(raw: object) -> tuple[str, ...]:
    """Sources of first peers: multiaddresses, `dns:NAME` or `https://HOST:PORT`."""
    result = texts(raw)
    for word in result:
        if not word.startswith(("/", "dns:", "https://", "http://")) or word == "dns:":
            raise ValueError(
                "multiaddresses (/ip4/10.0.0.1/tcp/5001), dns:NAME or https://HOST:6443"
            )
    return result


def choice(*allowed: str) -> Callable[[object], str]:
    """A reader of one of these words."""

    def read(raw: object) -> str:
        word = text(raw)
        if word not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return word

    return read


def snapshotter(raw: object) -> str:
    """A snapshotter's name; K3s's blog writes `estargz` for the one that is called `stargz`."""
    word = text(raw)
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", word):
        raise ValueError("a snapshotter's name, such as overlayfs or stargz")
    return "stargz" if word == "estargz" else word


def server(raw: object) -> str | None:
    """`https://HOST:PORT` without a path; nothing or the empty text is None."""
    word = optional_text(raw)
    if word is None:
        return None
    word = word.rstrip("/")
    if not _SERVER.fullmatch(word):
        raise ValueError("https://HOST:6443")
    return word


def namespace(raw: object) -> str:
    """A containerd namespace."""
    word = text(raw)
    if not re.fullmatch(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*", word) or len(word) > 76:
        raise ValueError("a namespace such as k8s.io")
    return word


def node_name(raw: object) -> str:
    """A host name; it becomes part of certificates."""
    word = text(raw).lower()
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?", word):
        raise ValueError("a host name such as node-1")
    return word


def registries(raw: object) -> tuple[str, ...]:
    """Registry hosts with or without port, or `*`; a scheme before them is dropped."""
    result = tuple(word.removeprefix("https://").rstrip("/") for word in texts(raw))
    for word in result:
        if word != "*" and not is_registry(word):
            raise ValueError("registry hosts such as docker.io or registry.example:5000, or *")
    return result
