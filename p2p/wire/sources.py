"""Where addresses of first peers come from: the operator, DNS, or another node's HTTP endpoint."""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import trio

from p2p.settings import TlsFiles
from p2p.wire.address import ParsedMultiaddr, parse_multiaddr

K3S_PATH = "/v1-k3s/p2p"
FETCH_SECONDS = 10.0

_DNS_SECONDS = 5.0
_MAX_BODY_BYTES = 256 * 1024
_MAX_ADDRESSES = 64


class SourceFailed(Exception):
    """A source could not be asked; the message says why."""


@dataclass(frozen=True, slots=True)
class StaticSource:
    """An address in the settings."""

    address: ParsedMultiaddr


@dataclass(frozen=True, slots=True)
class DnsSource:
    """A name whose A and AAAA records are peers, such as a headless service's."""

    name: str


@dataclass(frozen=True, slots=True)
class HttpSource:
    """A URL that lists peers, as K3s's or as Spegel's bootstrap does."""

    url: str


Source = StaticSource | DnsSource | HttpSource


def parse_source(text: str) -> Source:
    """Reads one entry of `Settings.bootstrap`.

    Raises:
        ValueError: It has none of the known forms; the message lists them.
    """
    text = text.strip()
    if text.startswith("/ip"):
        return StaticSource(parse_multiaddr(text))
    scheme, _, rest = text.partition(":")
    if scheme == "dns" and rest and not set(rest) & set("/:@ "):
        return DnsSource(rest)
    if scheme in ("http", "https"):
        parts = urlsplit(text)
        if parts.hostname and not parts.username and not parts.fragment:
            path = parts.path if parts.path.strip("/") else K3S_PATH
            return HttpSource(urlunsplit(parts._replace(path=path)))
    raise ValueError(
        f"invalid bootstrap source {text[:120]!r}: expected /ip4/<address>[/tcp/<port>]"
        "[/p2p/<id>], dns:<name>, or http(s)://<host>[:port][/path]"
    )


async def ask(source: Source, tls: TlsFiles) -> list[ParsedMultiaddr]:
    """The addresses that a source names; bounded to `FETCH_SECONDS`.

    Raises:
        SourceFailed: It did not answer, or not in a known form.
    """
    if isinstance(source, StaticSource):
        return [source.address]
    if isinstance(source, DnsSource):
        return await _resolve(source.name)
    found: list[list[ParsedMultiaddr]] = []
    with trio.move_on_after(FETCH_SECONDS):
        found.append(
            await trio.to_thread.run_sync(  # type: ignore[call-arg]  # trio-typing's stubs are old
                _fetch, source.url, tls, abandon_on_cancel=True
            )
        )
    if not found:
        raise SourceFailed(f"no answer within {FETCH_SECONDS:g} s")
    return found[0]


def parse_peer_list(body: bytes) -> list[ParsedMultiaddr]:
    """Reads what an HTTP source answers.

    K3s: `["/ip4/10.0.0.4/tcp/5001/p2p/12D3…", …]`, or the first of these as text. Spegel:
    `[{"ID": "12D3…", "Addrs": ["/ip4/10.0.0.4/tcp/5001"]}, …]`, where `ID` may be missing.
    Addresses that cannot be dialled here (QUIC, DNS names) are left out.

    Raises:
        ValueError: The body is none of these.
    """
    text = body.decode("utf-8", "replace").strip()
    if text.startswith("/"):
        return list(_usable(text.splitlines()))
    try:
        entries = json.loads(text or "[]")
    except RecursionError:
        raise ValueError("nested too deep") from None
    if isinstance(entries, list):
        return list(_usable(address for entry in entries for address in _addresses_of(entry)))
    raise ValueError("not a list of peers")


def _addresses_of(entry: object) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    if isinstance(entry, dict) and isinstance(entry.get("Addrs"), list):
        peer = entry.get("ID")
        suffix = f"/p2p/{peer}" if isinstance(peer, str) and peer else ""
        return [
            address if "/p2p/" in address else address + suffix
            for address in entry["Addrs"]
            if isinstance(address, str)
        ]
    raise ValueError("an entry is neither an address nor a peer with Addrs")


def _usable(addresses: Iterable[str]) -> Iterable[ParsedMultiaddr]:
    count = 0
    for text in addresses:
        try:
            parsed = parse_multiaddr(text)
        except ValueError:
            continue
        yield parsed
        count += 1
        if count == _MAX_ADDRESSES:
            return


async def _resolve(name: str) -> list[ParsedMultiaddr]:
    try:
        with trio.fail_after(_DNS_SECONDS):
            found = await trio.socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except trio.TooSlowError:
        raise SourceFailed(f"no answer within {_DNS_SECONDS:g} s") from None
    except (OSError, UnicodeError) as error:
        raise SourceFailed(f"the name cannot be resolved: {error}") from error
    ips = {str(info[4][0]).partition("%")[0] for info in found}
    return [ParsedMultiaddr(ipaddress.ip_address(ip), None, None) for ip in sorted(ips)][
        :_MAX_ADDRESSES
    ]


def _fetch(url: str, tls: TlsFiles) -> list[ParsedMultiaddr]:
    deadline = time.monotonic() + FETCH_SECONDS
    try:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=_tls_context(tls)),
        )
        request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - parse_source lets http and https pass only
        with opener.open(request, timeout=FETCH_SECONDS / 2) as response:
            body = b""
            while part := response.read1(16 * 1024):
                body += part
                if len(body) > _MAX_BODY_BYTES:
                    raise SourceFailed(f"the answer is larger than {_MAX_BODY_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise SourceFailed(f"the answer takes longer than {FETCH_SECONDS:g} s")
        return parse_peer_list(body)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 503:  # K3s: "no peer addresses available", it knows none but us
                return []
        raise SourceFailed(f"HTTP status {error.code}") from error
    except urllib.error.URLError as error:
        raise SourceFailed(str(error.reason)) from error
    except ValueError as error:
        raise SourceFailed(f"the answer is no list of peers: {error}") from error
    except OSError as error:
        raise SourceFailed(str(error) or type(error).__name__) from error
    except Exception as error:  # http.client's own errors share no base with the others
        raise SourceFailed(f"{type(error).__name__}: {error}") from error


def _tls_context(tls: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca)
    if tls.certificate is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    return context
