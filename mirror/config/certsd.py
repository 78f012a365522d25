"""Writes hosts.toml files into containerd's certs.d folder; only ever touches files of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from mirror.config.atomic import write_atomically
from mirror.config.endpoint import Tls
from mirror.config.hosts import DEFAULT_FOLDER, HEADER, HostsFile, node_hosts
from mirror.config.node import NodeConfig
from mirror.config.registries import Registries
from mirror.errors import SetupError

FILE_NAME = "hosts.toml"

log = logging.getLogger("spegla.config")

_DOCKER_SUFFIXES = (".crt", ".cert", ".key")


def apply_hosts(config: NodeConfig, registries: Registries, tls: Tls | None) -> None:
    """Makes containerd ask this node first, as its settings and registries.yaml say.

    Args:
        config: Says where the files go and whether this node mirrors.
        registries: From `load_registries`; when that fails, nothing must be changed.
        tls: What containerd shows and trusts; None with `insecure-http`.

    Raises:
        SetupError: The folder cannot be written.
    """
    plan = node_hosts(config, registries, tls)
    for warning in plan.warnings:
        log.warning("%s", warning)
    write_certs_d(config.containerd_config_path, plan.files)


def write_certs_d(folder: Path, files: Mapping[str, HostsFile]) -> None:
    """Makes `folder` hold exactly these files of ours; containerd reads them on its next pull.

    Somebody else's hosts.toml, and a folder with certificates in Docker's layout, which a
    hosts.toml would switch off, are left as they are.

    Raises:
        SetupError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, file in files.items():
            obstacle = _obstacle(folder, name)
            if obstacle is not None:
                log.warning(
                    "%s was not written by spegla and is left as it is: images of this registry "
                    "are not pulled through the mirror until it is moved away",
                    obstacle,
                )
            else:
                _write(folder / name / FILE_NAME, file)
        for stale in folder.iterdir():
            if stale.name not in files and _is_ours(stale / FILE_NAME):
                _remove(stale)
    except OSError as error:
        raise SetupError(
            f"{error.filename or folder}: cannot be written: {error.strerror}: "
            "run as root or set --containerd-config-path"
        ) from error


def _obstacle(folder: Path, name: str) -> Path | None:
    """What somebody else put in the way of `<folder>/<name>/hosts.toml`."""
    places = [folder / name]
    if name != DEFAULT_FOLDER and name.endswith("_"):
        # containerd would find ours first, and theirs in `host:port` no longer.
        host, _, port = name.removesuffix("_").rpartition("_")
        places.append(folder / f"{host}:{port}")
    for place in places:
        file = place / FILE_NAME
        if file.is_symlink() or (file.exists() and not _is_ours(file)):
            return file
        if not file.exists() and place.is_dir():
            for entry in sorted(place.iterdir()):
                if entry.suffix in _DOCKER_SUFFIXES:
                    return entry
    return None


def _is_ours(file: Path) -> bool:
    try:
        if file.is_symlink() or not file.is_file():
            return False
        with file.open("rb") as opened:
            return opened.read(len(HEADER) + 1).rstrip(b"\r\n") == HEADER.encode()
    except NotADirectoryError:
        return False


def _write(path: Path, file: HostsFile) -> None:
    mode = 0o600 if file.secret else 0o644
    data = file.text.encode()
    if path.exists() and path.read_bytes() == data and path.stat().st_mode & 0o777 == mode:
        return
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, data, mode)


def _remove(place: Path) -> None:
    (place / FILE_NAME).unlink(missing_ok=True)
    # An empty folder would still hide _default from this registry.
    if not any(place.iterdir()):
        place.rmdir()
