"""`python -m tests.faults`: the whole matrix, or part of it; see `sh tests/versions`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from tests.cluster import containerd
from tests.cluster.workspace import Workspace, sweep
from tests.faults import page
from tests.faults.cell import Cell
from tests.faults.ground import open_ground
from tests.faults.lab import Lab, open_lab
from tests.faults.matrix import all_cells
from tests.faults.pulling import NotReached, run
from tests.faults.verdict import Outcome

_BUILDS = {"1.6": containerd.debian, "1.7": containerd.trixie, "2.1": containerd.newest}
_LOG_LINES = 15


def main() -> int:
    """Runs it; 1 when a cell breaks the promise."""
    options = _options()
    cells = [cell for cell in all_cells() if any(text in str(cell) for text in options.only)]
    # The scripted peers' nodes of the network run in this process, and are meant to fail.
    logging.getLogger("spegla").addHandler(logging.NullHandler())
    sweep()
    results: dict[str, dict[page.Row, Outcome]] = {}
    red = 0
    with Workspace() as workspace, open_ground(workspace) as ground:
        for version in options.version:
            with open_lab(_BUILDS[version](), ground) as lab:
                outcomes = results[version] = {}
                for cell in cells:
                    outcome, problem = _judged(cell, lab)
                    red += bool(problem)
                    if outcome is not None:
                        outcomes[cell.group, cell.name] = outcome
    print(f"{len(cells)} cells on containerd {', '.join(options.version)}: {red} red")
    if options.page is not None:
        page.write(options.page, page.table(results))
    return 1 if red else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/versions", description="Pulls in spite of every fault, with us and without."
    )
    parser.add_argument(
        "--version", action="append", choices=_BUILDS, help="of containerd; default: all"
    )
    parser.add_argument("--only", action="append", metavar="TEXT", help="cells that contain TEXT")
    parser.add_argument("--page", type=Path, help="Markdown file whose table is written anew")
    options = parser.parse_args()
    if options.page is not None and (options.only or options.version):
        parser.error("the table needs every cell on every version")
    options.version = options.version or list(_BUILDS)
    options.only = options.only or [""]
    return options


def _judged(cell: Cell, lab: Lab) -> tuple[Outcome | None, str]:
    """Runs a cell and tells of it; returns what came of it, and what is wrong with that."""
    agent = lab.puller_of(cell.secure).spegla.daemon
    before = len(agent.output())
    outcome: Outcome | None = None
    try:
        outcome = run(cell, lab)
    except (NotReached, TimeoutError) as error:
        problem = str(error)
    else:
        problem = outcome.problem(cell.rule)
    print(f"{'RED ' if problem else 'good'} {lab.build}  {cell}  {outcome or ''}", flush=True)
    if problem:
        said = agent.output()[before:].splitlines()[-_LOG_LINES:]
        print("", problem, *said, sep="\n     ", flush=True)
    return outcome, problem


if __name__ == "__main__":
    sys.exit(main())
