"""What came of a cell, and whether that keeps the promise. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attempt:
    """One pull.

    Attributes:
        seconds: Until it ended.
        error: Why it failed; empty when it succeeded.
    """

    seconds: float
    error: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether containerd has the image."""
        return not self.error

    def __str__(self) -> str:
        return f"{self.seconds:.1f}" if self.succeeded else f"fails {self.seconds:.1f}"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a cell's pulls are held to.

    Attributes:
        bound: Seconds that a pull may take longer than without us.
        forced: Whether containerd gives up its pull whatever we do (wrong bytes in a blob of more
            than 8 MiB): then the next attempt counts.
        saved: Whether it must succeed although it cannot without us.
    """

    bound: float
    forced: bool = False
    saved: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """A cell's pulls. One that failed was followed by another.

    Attributes:
        ours: Attempts through spegla.
        direct: Attempts without it.
    """

    ours: Sequence[Attempt]
    direct: Sequence[Attempt]

    def __str__(self) -> str:
        return " / ".join(", then ".join(map(str, each)) for each in (self.ours, self.direct))

    def problem(self, rule: Rule) -> str:
        """What breaks the promise; empty when it is kept."""
        ours, direct = self.ours[0], self.direct[0]
        if rule.forced and not ours.succeeded:
            ours = self.ours[1]
        if rule.saved and not ours.succeeded:
            return f"fails although a peer has it all: {ours.error}"
        if ours.succeeded and not direct.succeeded and not rule.saved:
            return ""
        if ours.succeeded or direct.succeeded:
            return _worse(ours, direct, rule.bound)
        # It fails without us too: what counts is how soon, and the next attempt.
        return _worse(ours, direct, rule.bound) or _worse(self.ours[1], self.direct[1], rule.bound)


def _worse(ours: Attempt, direct: Attempt, bound: float) -> str:
    if direct.succeeded and not ours.succeeded:
        return f"fails, and does not without us: {ours.error}"
    extra = ours.seconds - direct.seconds
    return f"takes {extra:.1f} s longer than without us" if extra > bound else ""
