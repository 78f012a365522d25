"""What the transfer needs of the peer-to-peer network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from p2p.provider import Provider


class Network(Protocol):
    """Who holds a key; `p2p.node.Node` is one."""

    def known(self, key: str) -> Sequence[Provider]:
        """Providers in this node's own records, at once."""
        ...

    def providers(self, key: str, timeout: float) -> AsyncIterator[Provider]:
        """Providers as the network names them; ends within `timeout` seconds."""
        ...
