"""`python -m benchmarks [QUESTION…]`: measures, prints one table. Needs root; see run.sh."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks import latency, lookups, manifests, memory, page, relay, serve
from benchmarks.lab import Lab
from benchmarks.machine import describe
from benchmarks.scale import SHORT, Scale
from benchmarks.table import Row, markdown
from tests.cluster.workspace import Workspace, sweep

_QUESTIONS: dict[str, Callable[[Lab], Iterator[Row]]] = {
    "serve": serve.run,
    "relay": relay.run,
    "manifests": manifests.run,
    "latency": latency.run,
    "lookups": lookups.run,
    "memory": memory.run,
}
_PAGE = Path(__file__).parents[1] / "docs/performance.md"


def main() -> int:
    """Measures what the command line asks for; 1 when a target was missed."""
    options = _parse()
    for number in signal.SIGINT, signal.SIGTERM:
        signal.signal(number, _stop)
    scale = SHORT if options.short else Scale()
    sweep()
    rows = []
    with Workspace() as workspace:
        lab = Lab(workspace, scale)
        for name in options.questions or _QUESTIONS:
            started = time.monotonic()
            for row in _QUESTIONS[name](lab):
                print(*row.cells(), sep=" | ", file=sys.stderr, flush=True)
                rows.append(row)
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    section = f"{describe(scale)}\n\n{markdown(rows)}"
    print(section)
    if options.write:
        page.write(_PAGE, section)
    return int(any(row.reached is False for row in rows))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "questions", nargs="*", metavar="QUESTION", help=f"of {', '.join(_QUESTIONS)}; none: all"
    )
    parser.add_argument("--short", action="store_true", help="small sizes: to try, not to quote")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md's table")
    options = parser.parse_args()
    unknown = [name for name in options.questions if name not in _QUESTIONS]
    if unknown:
        parser.error(f"no question {unknown[0]!r}: choose from {', '.join(_QUESTIONS)}")
    if options.write and (options.questions or options.short):
        parser.error("--write is for all questions at full size")
    if os.geteuid() != 0:
        parser.error("root is needed, for network namespaces and containerds")
    return options


def _stop(number: int, _: FrameType | None) -> NoReturn:
    """Ends through the workspace, which removes all processes and namespaces."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
