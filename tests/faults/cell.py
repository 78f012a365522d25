"""A fault, and what a pull through spegla must be like in spite of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.scene import Scene
from tests.faults.verdict import Rule

PROMPT = 1.5
"""Seconds that a fault may add to the time without us."""

PATIENT = 6.0
"""The same where a peer is silent or trickles: it may only be busy."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault.

    Attributes:
        group: Where it stands in the table.
        name: What goes wrong; unique in its group.
        arrange: Sets the scene.
        bound: Seconds that it may take longer than without us.
        layers: How many the image has.
        large: Whether the last of them has more than 8 MiB.
        secure: Whether the nodes speak TLS with each other.
        quick: Whether it is part of every test run.
        forced: See `Rule`.
        saved: See `Rule`.
        reached: Whether a scripted fault must have come into play for this to show anything.
    """

    group: str
    name: str
    arrange: Callable[[Scene], object]
    bound: float = PROMPT
    layers: int = 2
    large: bool = False
    secure: bool = False
    quick: bool = False
    forced: bool = False
    saved: bool = False
    reached: bool = True

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"

    @property
    def rule(self) -> Rule:
        """What its pulls are held to."""
        return Rule(self.bound, self.forced, self.saved)
