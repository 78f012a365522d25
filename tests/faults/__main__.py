"""`python -m tests.faults`: the whole matrix, or part of it; see `sh tests/versions`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _Judged:
    """A cell that ran; `outcome` is None when its pulls showed nothing."""

    cell: Cell
    outcome: Outcome | None
    problem: str


def main() -> int:
    """Runs it, all versions side by side; 1 when a cell breaks the promise."""
    options = _options()
    cells = [cell for cell in all_cells() if any(text in str(cell) for text in options.only)]
    # The scripted peers' nodes of the network run in this process, and are meant to fail.
    logging.getLogger("spegla").addHandler(logging.NullHandler())
    sweep()
    with ThreadPoolExecutor(len(options.version)) as pool:
        ran = pool.map(lambda version: _run(version, cells), options.version)
        results = dict(zip(options.version, ran, strict=True))
    red = sum(bool(each.problem) for judged in results.values() for each in judged)
    print(f"{len(cells)} cells on containerd {', '.join(results)}: {red} red")
    if options.page is not None:
        page.write(options.page, page.table({v: _rows(judged) for v, judged in results.items()}))
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


def _run(version: str, cells: Sequence[Cell]) -> list[_Judged]:
    with (
        Workspace() as workspace,
        open_ground(workspace) as ground,
        open_lab(_BUILDS[version](), ground) as lab,
    ):
        return [_judge(cell, lab) for cell in cells]


def _judge(cell: Cell, lab: Lab) -> _Judged:
    """Runs a cell and tells of it."""
    agent = lab.puller_of(cell.secure).spegla.daemon
    before = len(agent.output())
    outcome: Outcome | None = None
    try:
        outcome = run(cell, lab)
    except (NotReached, TimeoutError) as error:
        problem = str(error)
    else:
        problem = outcome.problem(cell.rule)
    lines = [f"{'RED ' if problem else 'good'} {lab.build}  {cell}  {outcome or ''}"]
    if problem:
        lines += ["", problem, *agent.output()[before:].splitlines()[-_LOG_LINES:], ""]
    print("\n     ".join(lines), flush=True)
    return _Judged(cell, outcome, problem)


def _rows(judged: Sequence[_Judged]) -> dict[page.Row, Outcome]:
    return {
        (each.cell.group, each.cell.name): each.outcome
        for each in judged
        if each.outcome is not None
    }


if __name__ == "__main__":
    sys.exit(main())
