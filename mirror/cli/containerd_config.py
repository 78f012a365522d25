"""`spegla containerd-config`: the setting that makes containerd read hosts.toml files."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from mirror.config.load import load
from mirror.config.node import K3S_CONTAINERD_SOCKET, NodeConfig
from mirror.errors import SetupError

_SECONDS = 5.0


def containerd_config(
    *,
    write: Annotated[
        bool, typer.Option("--write", help="Add it to containerd's config.toml; keeps a backup.")
    ] = False,
    file: Annotated[
        Path, typer.Option("--file", metavar="FILE", help="containerd's configuration.")
    ] = Path("/etc/containerd/config.toml"),
    containerd_version: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="Such as 2.1 (default: what the running containerd says)."
        ),
    ] = None,
    containerd_address: Annotated[
        str | None, typer.Option(metavar="PATH", help="containerd's socket.")
    ] = None,
    containerd_config_path: Annotated[
        str | None, typer.Option(metavar="PATH", help="Folder for hosts.toml files.")
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", "-c", metavar="FILE", help="Configuration file.")
    ] = None,
) -> None:
    """Print what containerd's config.toml needs to pull through this node, or add it there."""
    given = {
        "config": config,
        "containerd_address": containerd_address,
        "containerd_config_path": containerd_config_path,
    }
    node = load("agent", given, os.environ)
    if node.containerd_address == K3S_CONTAINERD_SOCKET:
        typer.echo("K3s writes containerd's configuration by itself: nothing to do.")
        return
    from mirror.config import containerd_file  # noqa: PLC0415
    from mirror.config.containerd_toml import snippet  # noqa: PLC0415

    if write and file.exists():
        done = containerd_file.add_config_path(file, node.containerd_config_path)
    else:
        version = containerd_version or asyncio.run(_version(node))
        text = snippet(version, node.containerd_config_path)
        if not write:
            typer.echo(f"# {file}\n{text}", nl=False)
            return
        containerd_file.create(file, text)
        done = True
    typer.echo(
        f"{file}: written. Restart containerd: systemctl restart containerd"
        if done
        else f"{file}: has it already, nothing changed."
    )


async def _version(node: NodeConfig) -> str:
    from mirror.containerd.client import Containerd  # noqa: PLC0415
    from mirror.containerd.connection import ContainerdError  # noqa: PLC0415

    address = node.containerd_address
    try:
        async with Containerd(address, node.containerd_namespace, deadline=_SECONDS) as client:
            return await client.server.version()
    except ContainerdError as error:
        raise SetupError(
            f"containerd at {address} does not answer: start it, or say --containerd-version"
        ) from error
