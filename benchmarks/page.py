"""The part of docs/performance.md that the benchmarks write themselves."""

from __future__ import annotations

from pathlib import Path

BEGIN = "<!-- written by `make bench` from here -->"
END = "<!-- to here -->"


class NoPlace(ValueError):
    """The page does not say where the table goes."""


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
    """Puts `section` into the page at `path`, which is made when it is not there."""
    page = path.read_text() if path.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
    path.write_text(replaced(page, section))
