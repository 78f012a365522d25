"""The rows of the result and how they read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

_NOTHING = ""
_HEAD = ("question", "ours", "peer", "ratio", "target", "reached")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        question: What was measured, in which case.
        ours: Our figure with its unit.
        peer: The peer's, measured in the same run, and which peer it is; None where there is none.
        ratio: Ours divided by the peer's.
        target: What was to be reached; None where a figure only explains another.
        reached: Whether it was.
    """

    question: str
    ours: str
    peer: str | None = None
    ratio: float | None = None
    target: str | None = None
    reached: bool | None = None

    def cells(self) -> tuple[str, ...]:
        """Its words, one for each column."""
        return (
            self.question,
            self.ours,
            self.peer or _NOTHING,
            _NOTHING if self.ratio is None else f"{self.ratio:.2f}",
            self.target or _NOTHING,
            {None: _NOTHING, True: "yes", False: "**no**"}[self.reached],
        )


def beside(
    question: str,
    ours: float,
    peer: float,
    unit: str,
    *,
    name: str,
    at_least: float | None = None,
) -> Row:
    """A figure that is worth what it is beside the peer's.

    Args:
        question: What was measured.
        ours: Our figure.
        peer: The peer's.
        unit: Of both.
        name: Who the peer is.
        at_least: The ratio to reach; None where more is not better.
    """
    ratio = ours / peer
    return Row(
        question,
        f"{_number(ours)} {unit}",
        f"{_number(peer)} {unit} ({name})",
        ratio,
        None if at_least is None else f"ratio ≥ {at_least:g}",
        None if at_least is None else ratio >= at_least,
    )


def at_most(question: str, value: float, limit: float, unit: str, note: str = "") -> Row:
    """A figure that must not exceed `limit`; `note` is shown beside it."""
    ours = f"{_number(value)} {unit}" + (f" ({note})" if note else "")
    return Row(question, ours, target=f"≤ {limit:g} {unit}", reached=value <= limit)


def median_at_most(question: str, seconds: Sequence[float], limit: float) -> Row:
    """The median of latencies, in ms, that must not exceed `limit` ms."""
    ms = [1000 * second for second in seconds]
    p99 = quantiles(ms, n=100)[98]
    return at_most(f"{question}, p50", median(ms), limit, "ms", f"p99 {_number(p99)} ms")


def markdown(rows: Iterable[Row]) -> str:
    """The table, without a line break at its end."""
    lines = [_HEAD, ("---",) * len(_HEAD), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _number(value: float) -> str:
    """Three digits that count, more for large numbers."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
