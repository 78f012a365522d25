"""`spegla find`: who holds an image or a digest."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from mirror.cli.ask import AsJson, ConfigFile, DataDir, ask_node
from mirror.cli.units import milliseconds_text


def find(
    name: Annotated[str, typer.Argument(metavar="REF|DIGEST", help="An image or a digest.")],
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask the network who holds an image or a digest; exit 1 when nobody does."""
    facts = ask_node(data_dir, config, "/find", name=name)
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        for provider in facts["providers"]:
            print(f"{' '.join(provider['addresses'])}  {provider['peer']}")
        holders = len(facts["providers"])
        plural = "" if holders == 1 else "s"
        seconds = milliseconds_text(facts["seconds"])
        print(f"{facts['key']}: {holders} other node{plural}, {seconds}", file=sys.stderr)
    if not facts["providers"]:
        raise typer.Exit(1)
