"""`spegla status`: what this node holds, its peers, and where bytes came from."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mirror.cli.ask import AsJson, ConfigFile, DataDir, ask_node
from mirror.cli.units import bytes_text, duration_text

if TYPE_CHECKING:
    from rich.table import Table

_REFRESH_SECONDS = 1.0


def status(
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it anew each second.")] = False,
) -> None:
    """Show what this node holds, its peers, and where the bytes it sent came from."""
    # Loaded here, so that a running agent does without.
    from rich.console import Console  # noqa: PLC0415

    console = Console()
    while True:
        facts = ask_node(data_dir, config, "/status")
        if as_json:
            typer.echo(json.dumps(facts, indent=None if watch else 2))
        else:
            if watch:
                console.clear()
            console.print(_table(facts))
        if not watch:
            return
        time.sleep(_REFRESH_SECONDS)


def _table(facts: Mapping[str, Any]) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    counters = facts["counters"]
    obstacle = facts["obstacle"]
    state = "[green]ready[/]" if obstacle is None else f"[yellow]not ready: {obstacle}[/]"
    table.add_row("node", f"{facts['node']} (spegla {facts['version']}), {state}")
    table.add_row("up", duration_text(facts["uptime_seconds"]))
    held = f"{facts['content']} blobs, {bytes_text(facts['content_bytes'])}, {facts['tags']} tags"
    table.add_row("holds", f"{held} in {facts['store']}")
    network = facts["network"]
    table.add_row(
        "network", f"{network['peers_up']} of {network['peers']} peers up, id {facts['peer_id']}"
    )
    table.add_row("advertises", f"{network['own_keys']} keys")
    table.add_row("knows", f"{network['records']} records of others")
    table.add_row("transfers", f"{facts['transfers']} from peers under way")
    table.add_row("requests", _hit_rate(counters))
    for name, value in counters.items():
        if name.startswith("spegla_sent_bytes"):
            source = name.partition("source=")[2].rstrip("}")
            table.add_row(f"sent from {source}", bytes_text(value))
    table.add_row("failovers", f"{counters['spegla_failovers']:.0f}")
    table.add_row("bad bytes", f"{counters['spegla_verification_failures']:.0f} times")
    return table


def _hit_rate(counters: Mapping[str, float]) -> str:
    asked = {name: n for name, n in counters.items() if name.startswith("spegel_mirror_requests")}
    total = sum(asked.values())
    if not total:
        return "none yet"
    hits = sum(n for name, n in asked.items() if "cache=hit" in name)
    return f"{hits:.0f} of {total:.0f} served by peers or this node ({hits / total:.0%})"
