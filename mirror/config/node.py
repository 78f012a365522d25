"""Everything a node is told, as one frozen value: the flags, the keys of config.yaml, the defaults.

A field is also a flag (`--p2p-port`), a key of config.yaml (`p2p-port`) and an environment
variable (`SPEGLA_P2P_PORT`); `mirror.config.load` reads them. Names follow K3s where K3s has one.
"""

# ruff: noqa: RUF009 (_option gives a dataclass field, not a shared default)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from mirror.config import values
from mirror.config.values import IpAddress

Role = Literal["server", "agent"]
StoreKind = Literal["auto", "containerd", "layout"]

K3S_CONTAINERD_SOCKET = Path("/run/k3s/containerd/containerd.sock")
CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")

_T = TypeVar("_T")


def _option(default: _T, read: Callable[[object], object], text: str, secret: bool = False) -> _T:
    """A field that can be set from outside, with its reader and its help text."""
    return field(default=default, metadata={"read": read, "help": text}, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """The settings of one node, checked. Each field's text is also the help of its flag.

    Attributes:
        role: Set by the command: `spegla server` or `spegla agent`.
    """

    role: Role = "agent"

    node_name: str = _option(
        "localhost", values.node_name, "Name of this node (default: the host name)."
    )
    node_ip: tuple[IpAddress, ...] = _option(
        (),
        values.addresses,
        "IP addresses that other nodes reach this node at, the preferred first "
        "(default: the address of the default route).",
    )
    data_dir: Path = _option(
        Path("/var/lib/rancher/k3s"), values.path, "Folder of this node's state, shared with K3s."
    )
    server: str | None = _option(
        None, values.server, "Server to join, as https://HOST:6443; none: a stand-alone node."
    )
    token: str | None = _option(
        None, values.optional_text, "Secret to join the cluster with.", secret=True
    )
    token_file: Path | None = _option(
        None, values.optional_path, "File that holds the token, in place of token."
    )
    embedded_registry: bool = _option(
        False,
        values.flag,
        "Share this node's images; on a server this switches it on for every node that joins.",
    )
    supervisor_metrics: bool = _option(
        False, values.flag, "Serve /metrics on the registry port too."
    )
    private_registry: Path = _option(
        Path("/etc/rancher/k3s/registries.yaml"),
        values.path,
        "Which registries are mirrored, from where and with which credentials.",
    )
    snapshotter: str = _option(
        "overlayfs", values.snapshotter, "containerd's snapshotter; stargz mounts eStargz lazily."
    )
    disable_default_registry_endpoint: bool = _option(
        False,
        values.flag,
        "Never ask the registry itself for images of registries listed in registries.yaml: "
        "only peers and the endpoints listed there.",
    )
    airgap_extra_registry: tuple[str, ...] = _option(
        (), values.registries, "Registry that imported images are tagged for as well."
    )
    debug: bool = _option(False, values.flag, "Log every request with its source, bytes, seconds.")
    store: StoreKind = _option(
        "auto",
        values.choice("auto", "containerd", "layout"),
        "Where images are held: in containerd, in an OCI layout of our own, or auto: "
        "containerd if its socket is there.",
    )
    containerd_address: Path = _option(
        CONTAINERD_SOCKET,
        values.socket_path,
        f"containerd's socket (default: {K3S_CONTAINERD_SOCKET} if there, "
        f"else {CONTAINERD_SOCKET}).",
    )
    containerd_namespace: str = _option(
        "k8s.io", values.namespace, "containerd's namespace whose images are shared."
    )
    containerd_config_path: Path = _option(
        Path("/etc/containerd/certs.d"),
        values.path,
        "Folder for hosts.toml files, containerd's registry config_path "
        "(default on K3s: <data-dir>/agent/etc/containerd/certs.d).",
    )
    registry_port: int = _option(6443, values.port, "TCP port of the registry.")
    p2p_port: int = _option(
        5001, values.port, "TCP port of the peer-to-peer network; K3S_P2P_PORT sets it too."
    )
    bootstrap: tuple[str, ...] = _option(
        (),
        values.bootstrap,
        "Where first peers are found: a multiaddress, dns:NAME or https://HOST:6443.",
    )
    tls_ca: Path | None = _option(
        None, values.optional_path, "CA that other nodes' certificates are checked against."
    )
    tls_cert: Path | None = _option(
        None, values.optional_path, "This node's certificate, for serving and for asking peers."
    )
    tls_key: Path | None = _option(None, values.optional_path, "Private key of tls-cert.")
    psk_file: Path | None = _option(
        None,
        values.optional_path,
        "File with the key of a private peer-to-peer network: only nodes with the same key join.",
    )
    insecure_http: bool = _option(
        False,
        values.flag,
        "Plain HTTP without certificates, as stand-alone Spegel: for trusted networks only.",
    )
    mirrored_registries: tuple[str, ...] = _option(
        (),
        values.registries,
        "Registries to mirror, * for all, in place of the keys of mirrors in registries.yaml.",
    )
    zone: str | None = _option(
        None, values.optional_text, "Zone of this node; peers in the same zone are asked first."
    )
    upload_limit: int | None = _option(
        None, values.optional_size, "Most bytes a second sent to other nodes, such as 100M."
    )
    memory_limit: int = _option(
        128 * 1024 * 1024,
        values.size,
        "Most memory to take, such as 128M; transfers are cut to fit.",
    )
    metrics_address: str | None = _option(
        None, values.host_port, "host:port to serve /metrics on, in plain HTTP."
    )
    web_address: str | None = _option(
        None, values.host_port, "host:port to serve the dashboard on, in plain HTTP."
    )
    enable_latest: bool = _option(
        False,
        values.flag,
        "Let peers answer for the tag latest; K3S_P2P_ENABLE_LATEST=true sets it too.",
    )

    @property
    def node_dir(self) -> Path:
        """Folder of the files that are ours alone: peer.key, tls/, control.sock, oci/."""
        return self.data_dir / "agent" / "spegla"

    @property
    def mirrors_without_being_told(self) -> bool:
        """A stand-alone agent has no server that could tell it to mirror, and no other work."""
        return self.role == "agent" and self.server is None

    @property
    def mirrors(self) -> bool:
        """Whether this node by its own settings shares and fetches images."""
        return self.embedded_registry or self.mirrors_without_being_told

    @property
    def scheme(self) -> Literal["http", "https"]:
        """How the registry is served, here and on all other nodes of the cluster."""
        return "http" if self.insecure_http else "https"
