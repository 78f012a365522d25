"""Peers seen lately, in a file, so that a restarted node finds its network without a bootstrap."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path

from p2p.port import PeerAddress, PeerId
from p2p.wire.address import Endpoint, parse_multiaddr, parse_peer_id, show_peer, unpack

log = logging.getLogger("spegla.p2p")

MAX_PEERS = 200
MAX_AGE_SECONDS = 14 * 24 * 3600.0
_MAX_FILE_BYTES = 1024 * 1024
_MAX_ADDRESSES = 8


class PeerStore:
    """Keeps the addresses of the last 200 peers, newest last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[PeerId, tuple[float, tuple[bytes, ...]]] = {}
        self._changed = False

    def load(self, now: float) -> None:
        """Reads the file. One that cannot be read is put aside, and the node goes on without.

        Args:
            now: Unix time in seconds; peers not seen for two weeks are dropped.
        """
        try:
            with self._path.open("rb") as file:
                data = file.read(_MAX_FILE_BYTES + 1)
            entries = _parse(data)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            aside = self._path.with_name(self._path.name + ".corrupt")
            with contextlib.suppress(OSError):
                self._path.replace(aside)
            log.warning(
                "the peer store %s cannot be used (%s): put aside as %s, starting without",
                self._path,
                error,
                aside.name,
            )
            return
        for seen, address in sorted(entries, key=lambda entry: entry[0])[-MAX_PEERS:]:
            if now - MAX_AGE_SECONDS < seen <= now + MAX_AGE_SECONDS:
                self._seen[address.peer] = (min(seen, now), address.addresses)

    def seen(self, address: PeerAddress, now: float) -> None:
        """Notes that a peer is there. One without addresses is of no use later."""
        if not address.addresses:
            return
        self._seen.pop(address.peer, None)
        self._seen[address.peer] = (now, address.addresses[:_MAX_ADDRESSES])
        if len(self._seen) > MAX_PEERS:
            del self._seen[next(iter(self._seen))]
        self._changed = True

    def peers(self) -> list[PeerAddress]:
        """All known peers, the one seen last first."""
        return [
            PeerAddress(peer, addresses)
            for peer, (_, addresses) in reversed(list(self._seen.items()))
        ]

    def save(self) -> None:
        """Writes the file if anything changed. Blocks; a full disk is logged and not raised.

        For a thread of its own: `seen` may be called meanwhile, `save` may not.
        """
        if not self._changed:
            return
        self._changed = False
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            temporary.write_text(self._dump(), encoding="utf-8")
            temporary.replace(self._path)
        except OSError as error:
            log.warning("cannot write the peer store %s: %s", self._path, error.strerror)
            with contextlib.suppress(OSError):
                temporary.unlink()

    def _dump(self) -> str:
        peers = [
            {
                "id": show_peer(peer),
                "addresses": [end.text for end in map(unpack, addresses) if end is not None],
                "seen": round(seen),
            }
            for peer, (seen, addresses) in list(self._seen.items())
        ]
        return json.dumps({"version": 1, "peers": peers}, indent=1)


def _parse(data: bytes) -> list[tuple[float, PeerAddress]]:
    if len(data) > _MAX_FILE_BYTES:
        raise ValueError(f"larger than {_MAX_FILE_BYTES} bytes")
    try:
        document = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(document, dict) or document.get("version") != 1:
        raise ValueError("not a peer store of version 1")
    try:
        return [
            (float(entry["seen"]), _parse_peer(entry["id"], entry["addresses"]))
            for entry in document["peers"]
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"an entry is not as expected: {error}") from error


def _parse_peer(peer: str, addresses: list[str]) -> PeerAddress:
    packed: list[bytes] = []
    for text in addresses:
        parsed = parse_multiaddr(f"{text}/p2p/{peer}")
        if parsed.peer is None or parsed.port is None:
            raise ValueError(f"an address without a port: {text[:80]!r}")
        packed.append(Endpoint(parsed.ip, parsed.port).pack())
    return PeerAddress(parse_peer_id(peer), tuple(packed))
