"""The table in docs/reliability.md, which the matrix writes itself. Pure but for `write`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.faults.verdict import Outcome

BEGIN = "<!-- written by `sh tests/versions` from here -->"
END = "<!-- to here -->"

Row = tuple[str, str]
"""A cell's group and name."""

Results = Mapping[str, Mapping[Row, Outcome]]
"""By version of containerd."""


class NoPlace(ValueError):
    """The page does not say where the table goes."""


def table(results: Results) -> str:
    """A table for each group of cells, with a column a version: seconds with us / without."""
    versions = list(results)
    rows = list(dict.fromkeys(row for outcomes in results.values() for row in outcomes))
    lines: list[str] = []
    for group in dict.fromkeys(group for group, _ in rows):
        lines += [
            *([""] if lines else []),
            f"| {group} | {' | '.join(f'containerd {version}' for version in versions)} |",
            f"|---|{'---|' * len(versions)}",
        ]
        lines += [
            f"| {name} | {' | '.join(str(results[v].get((of, name), '')) for v in versions)} |"
            for of, name in rows
            if of == group
        ]
    return "\n".join(lines)


def replaced(page: str, section: str) -> str:
    """The page with `section` between its two marks.

    Raises:
        NoPlace: It lacks a mark.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoPlace(f"expected {BEGIN!r} and {END!r} in the page")
    return f"{before}{begin}\n\n{section}\n\n{end}{after}"


def write(path: Path, section: str) -> None:
    """Puts `section` into the page at `path`."""
    path.write_text(replaced(path.read_text(), section))
