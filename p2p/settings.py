"""What a node of the network is told at its start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what peers may cost this node.

    Attributes:
        connections: Inbound connections in all. From three quarters of it on, counted both ways,
            idle connections are closed.
        connections_per_address: Inbound connections from one remote IP, handshakes included, of
            which half may be going on: as many nodes may share an address behind a NAT.
        records: Provider records held for other peers, in all.
        records_per_peer: Provider records held for one peer.
    """

    connections: int = 1000
    connections_per_address: int = 16
    records: int = 200_000
    records_per_peer: int = 50_000


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What `https://` bootstrap sources are asked with.

    Attributes:
        ca: PEM of the authorities that may have signed the server; None for the system's.
        certificate: PEM of the client's certificate chain, where the server asks for one.
        key: PEM of its key.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything `Node` needs to know.

    Attributes:
        data_dir: Folder of `peer.key` (identity) and the peer store; made when missing.
        port: TCP port to listen on; the same in the whole cluster. 0 takes a free one.
        listen: IP addresses to listen on; the wildcards stand for all interfaces.
        announce: IP addresses told to peers instead of those listened on; for nodes behind NAT.
        psk: 32 bytes that every node of a private network shares, or None for an open one.
        bootstrap: Where to find first peers: multiaddrs with or without `/p2p/<id>`,
            `dns:NAME`, `http://…` and `https://…`. Empty: this may be the first node.
        tls: Files for `https://` sources.
        agent: What identify tells peers about this program.
        limits: Bounds on what peers may cost.
    """

    data_dir: Path
    port: int = 5001
    listen: tuple[str, ...] = ("::", "0.0.0.0")
    announce: tuple[str, ...] = ()
    psk: bytes | None = field(default=None, repr=False)
    bootstrap: tuple[str, ...] = ()
    tls: TlsFiles = field(default_factory=TlsFiles)
    agent: str = "spegla"
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Refuses values that no network could be built on.

        Raises:
            ValueError: Names the wrong value.
        """
        if self.psk is not None and len(self.psk) != 32:
            raise ValueError(f"the pre-shared key has {len(self.psk)} bytes: it must have 32")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"p2p port {self.port} is out of range: use 1 to 65535, or 0 for any")
        if not self.listen:
            raise ValueError("no address to listen on: name at least one IP, or leave it out")
