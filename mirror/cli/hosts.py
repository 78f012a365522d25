"""`spegla hosts`: tells containerd to ask this node first."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from mirror import log
from mirror.cli.flags import with_node_flags
from mirror.config.load import load
from mirror.config.scope import in_scope


@with_node_flags
def hosts(
    flags: Mapping[str, object],
    show: Annotated[
        bool, typer.Option("--print", help="Show the files and change nothing.")
    ] = False,
) -> None:
    """Write containerd's hosts.toml files from registries.yaml once, as the agent does at start."""
    log.setup(debug=bool(flags.get("debug")))
    config = in_scope(load("agent", flags, os.environ))
    from mirror.config.certsd import FILE_NAME, apply_hosts  # noqa: PLC0415
    from mirror.config.hosts import node_hosts  # noqa: PLC0415
    from mirror.config.registries import load_registries  # noqa: PLC0415

    registries = load_registries(config)
    tls = None
    if not config.insecure_http:
        from mirror.cluster.certificates import certificates, files_of  # noqa: PLC0415

        files = files_of(config) if show else certificates(config, datetime.now(UTC))
        tls = files.client
    if not show:
        apply_hosts(config, registries, tls)
        return
    plan = node_hosts(config, registries, tls)
    for name, file in plan.files.items():
        typer.echo(f"==> {config.containerd_config_path / name / FILE_NAME}\n{file.text}")
    for warning in plan.warnings:
        typer.echo(f"warning: {warning}", err=True)
