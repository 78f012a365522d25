"""How many connections may come in, from one address and in all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2p.settings import Limits
    from p2p.wire.address import IPAddress


@dataclass(slots=True)
class Admission:
    """Counts connections. Half of an address's share may be in a handshake at a time.

    So connections that say nothing cost their own address its places, and others none.
    """

    limits: Limits
    open: int = 0
    _by_address: Counter[IPAddress] = field(default_factory=Counter)
    _shaking: Counter[IPAddress] = field(default_factory=Counter)

    def begin(self, remote: IPAddress) -> bool:
        """Takes a place for a new inbound connection; False when it must be refused."""
        share = self.limits.connections_per_address
        if (
            self.open >= self.limits.connections
            or self._by_address[remote] >= share
            or self._shaking[remote] >= max(1, share // 2)
        ):
            return False
        self.open += 1
        self._by_address[remote] += 1
        self._shaking[remote] += 1
        return True

    def shaken(self, remote: IPAddress) -> None:
        """The handshake is over, well or not."""
        _decrement(self._shaking, remote)

    def end(self, remote: IPAddress) -> None:
        """Gives the place back."""
        self.open -= 1
        _decrement(self._by_address, remote)


def _decrement(counter: Counter[IPAddress], remote: IPAddress) -> None:
    counter[remote] -= 1
    if counter[remote] <= 0:
        del counter[remote]
