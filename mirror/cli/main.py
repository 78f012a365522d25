"""Entry point of the command `spegla`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mirror import VERSION
from mirror.cli.agent import agent
from mirror.cli.containerd_config import containerd_config
from mirror.cli.find import find
from mirror.cli.hosts import hosts
from mirror.cli.peers import peers
from mirror.cli.status import status
from mirror.errors import SetupError

app = typer.Typer(
    name="spegla",
    help="A P2P image mirror: nodes get images from each other before they ask the registry.",
    no_args_is_help=True,
    add_completion=False,
    # rich would cost a running agent 10 MiB for texts that are read once.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spegla {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options of the program itself; its help is the app's."""


app.command("agent", short_help="Run this node.")(agent)
app.command("hosts", short_help="Write containerd's hosts.toml files once.")(hosts)
app.command("containerd-config", short_help="Print or add containerd's settings.")(
    containerd_config
)
app.command("status", short_help="What this node holds, its peers, its transfers.")(status)
app.command("peers", short_help="The peers this node knows.")(peers)
app.command("find", short_help="Who holds an image or a digest.")(find)


def main() -> None:
    """Runs a command; what is wrong with the set-up is told in one line."""
    try:
        app()
    except SetupError as error:
        print("spegla:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
