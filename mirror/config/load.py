"""Brings flags, environment and config files together into one `NodeConfig`.

What is said first wins: flags, then `SPEGLA_<FLAG>`, then `config.yaml.d/*.yaml` (the last file
first), then `config.yaml`. Files follow K3s's rules: `key+` appends to what earlier files gave.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mirror.config import machine
from mirror.config.document import read_yaml
from mirror.config.keys import misspelt
from mirror.config.node import K3S_CONTAINERD_SOCKET, NodeConfig, Role
from mirror.errors import SetupError

DEFAULT_FILE = Path("/etc/rancher/k3s/config.yaml")
ENVIRONMENT_PREFIX = "SPEGLA_"

log = logging.getLogger("spegla.config")

# Spegel in K3s is told these two by the environment only.
_K3S_VARIABLES = {"p2p_port": "K3S_P2P_PORT", "enable_latest": "K3S_P2P_ENABLE_LATEST"}


@dataclass(frozen=True, slots=True)
class Setting:
    """A value as its source gave it.

    Attributes:
        raw: Unread: text, or any YAML value.
        source: Where it was found, for errors: `--p2p-port`, a variable, or file and key.
    """

    raw: object
    source: str


def load(role: Role, flags: Mapping[str, object], environ: Mapping[str, str]) -> NodeConfig:
    """Reads everything this node is told.

    Args:
        role: The command that was called.
        flags: Values by field name (`p2p_port`), and `config` for the file; None is not given.
        environ: The environment.

    Raises:
        SetupError: A file cannot be read, or a value is wrong; names source, value and remedy.
    """
    settings = _file_settings(flags, environ)
    settings |= _environment_settings(environ)
    settings |= {
        name: Setting(raw, flag_of(name))
        for name, raw in flags.items()
        if raw is not None and name != "config"
    }
    known: dict[str, Any] = {
        name: _read(name, settings[name]) for name in option_names() if name in settings
    }
    config = NodeConfig(role=role, **(_detected(known) | known))
    _check(config)
    return config


def option_names() -> list[str]:
    """The fields of `NodeConfig` that can be set from outside."""
    return [field.name for field in fields(NodeConfig) if "read" in field.metadata]


def flag_of(name: str) -> str:
    """`p2p_port` → `--p2p-port`."""
    return "--" + name.replace("_", "-")


def _file_settings(flags: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, Setting]:
    told = flags.get("config") or environ.get("SPEGLA_CONFIG") or environ.get("K3S_CONFIG_FILE")
    path = Path(str(told)) if told else DEFAULT_FILE
    settings: dict[str, Setting] = {}
    documents = {file: read_yaml(file) for file in [path, *_drop_ins(path)]}
    if told and not any(document is not None for document in documents.values()):
        raise SetupError(f"{path}: there is no such file: create it or leave --config out")
    ours = {name.replace("_", "-") for name in option_names()}
    for file, document in documents.items():
        for key, raw in (document or {}).items():
            plain = key.removesuffix("+")
            if plain not in ours:
                _warn_if_misspelt(f"{file}: {key}", plain, ours)
                continue
            name, source = plain.replace("-", "_"), f"{file}: {plain}"
            if key.endswith("+") and name in settings:
                before = settings[name]
                joined = [*_as_list(before.raw), *_as_list(raw)]
                settings[name] = Setting(joined, f"{before.source}, {source}")
            else:
                settings[name] = Setting(raw, source)
    return settings


def _drop_ins(path: Path) -> list[Path]:
    folder = path.with_name(path.name + ".d")
    try:
        files = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SetupError(f"{folder}: cannot be read: {error.strerror}") from error
    return [file for file in files if file.suffix.lower() in (".yaml", ".yml") and file.is_file()]


def _as_list(raw: object) -> list[object]:
    return raw if isinstance(raw, list) else [] if raw is None else [raw]


def _environment_settings(environ: Mapping[str, str]) -> dict[str, Setting]:
    settings: dict[str, Setting] = {}
    names = {ENVIRONMENT_PREFIX + name.upper(): name for name in option_names()}
    for name, variable in _K3S_VARIABLES.items():
        if environ.get(variable):
            settings[name] = Setting(environ[variable], variable)
    for variable, raw in environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or not raw:
            continue
        if raw.startswith("tcp://"):
            # Kubernetes sets <SERVICE>_PORT=tcp://… for every service in the namespace, so a
            # service named spegla-registry would pass for our registry-port.
            continue
        if variable in names:
            settings[names[variable]] = Setting(raw, variable)
        else:
            _warn_if_misspelt(variable, variable, set(names))
    return settings


def _warn_if_misspelt(source: str, key: str, ours: set[str]) -> None:
    meant = misspelt(key, ours)
    if meant is not None:
        log.warning("Unknown setting %s, ignored: did you mean %s?", source, meant)


def _read(name: str, setting: Setting) -> object:
    field = next(field for field in fields(NodeConfig) if field.name == name)
    read: Callable[[object], object] = field.metadata["read"]
    try:
        return read(setting.raw)
    except ValueError as error:
        raw = setting.raw
        told = ", ".join(map(str, raw)) if isinstance(raw, list) else str(raw)
        shown = f"{told[:100]!r} " if field.repr else ""
        raise SetupError(
            f"{setting.source}: the value {shown}is wrong: expected {error}"
        ) from error


def _detected(known: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults that depend on the machine, for what nobody said."""
    found: dict[str, Any] = {}
    if not known.get("node_name"):
        found["node_name"] = _read("node_name", Setting(machine.node_name(), "host name"))
    if not known.get("node_ip"):
        address = machine.node_address()
        if address is None:
            raise SetupError(
                "this machine has no address that other nodes could reach: set --node-ip"
            )
        found["node_ip"] = (address,)
    data_dir = known.get("data_dir") or NodeConfig().data_dir
    socket = known.get("containerd_address") or machine.containerd_socket(data_dir)
    found["containerd_address"] = socket
    if socket == K3S_CONTAINERD_SOCKET:
        found["containerd_config_path"] = data_dir / "agent/etc/containerd/certs.d"
    return found


def _check(config: NodeConfig) -> None:
    """Refuses values that are right alone and wrong together."""
    if config.registry_port == config.p2p_port:
        raise SetupError(
            f"registry-port and p2p-port are both {config.p2p_port}: give each its own port"
        )
    if config.token is not None and config.token_file is not None:
        raise SetupError("token and token-file are both set: keep one of them")
    pair = (config.tls_ca, config.tls_cert, config.tls_key)
    if any(pair) and not all(pair):
        raise SetupError("tls-ca, tls-cert and tls-key belong together: set all three or none")
    if any(pair) and config.insecure_http:
        raise SetupError("insecure-http and tls-cert are both set: keep one of them")
