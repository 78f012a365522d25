"""`spegla peers`: the routing table."""

from __future__ import annotations

import json

from mirror.cli.ask import AsJson, ConfigFile, DataDir, ask_node
from mirror.cli.units import milliseconds_text

_COLOURS = {"up": "green", "slow": "yellow", "down": "red"}


def peers(data_dir: DataDir = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show the peers that this node knows, and how fast they answer."""
    facts = ask_node(data_dir, config, "/peers")
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    # Loaded here, so that a running agent does without.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    registries = {peer["address"]: peer for peer in facts["registries"]}
    table = Table("address", "state", "network", "registry", "agent", "peer id", box=None)
    for peer in sorted(facts["peers"], key=lambda peer: peer["addresses"]):
        asked = [registries[ip] for ip in peer["addresses"] if ip in registries]
        table.add_row(
            " ".join(peer["addresses"]),
            f"[{_COLOURS[peer['state']]}]{peer['state']}[/]",
            milliseconds_text(peer["latency"]),
            milliseconds_text(asked[0]["latency"] if asked else None),
            peer["agent"],
            peer["peer"],
        )
    console = Console()
    if table.row_count:
        console.print(table)
    else:
        console.print("no peers: check bootstrap, the p2p port and the pre-shared key")
