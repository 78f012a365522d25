"""Addresses whose handshakes keep failing: the sign of another pre-shared key."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2p.wire.address import IPAddress

PERSIST_SECONDS = 5.0
"""For so long an address must fail: a node that restarts cuts off a handshake or two."""

MAX_SUSPECTS = 256
"""Remembered at once; beyond it all are forgotten, and may be named again."""


class Suspects:
    """Decides whom the operator should hear of, once for each address."""

    def __init__(self) -> None:
        self._since: dict[IPAddress, float] = {}
        self._named: set[IPAddress] = set()

    def failed(self, remote: IPAddress, now: float) -> bool:
        """Notes a failed handshake; whether it is time to say so."""
        if len(self._since) >= MAX_SUSPECTS and remote not in self._since:
            self._since.clear()
            self._named.clear()
        since = self._since.setdefault(remote, now)
        if remote in self._named or now < since + PERSIST_SECONDS:
            return False
        self._named.add(remote)
        return True

    def cleared(self, remote: IPAddress) -> None:
        """Notes a handshake that went well."""
        self._since.pop(remote, None)
        self._named.discard(remote)
