"""What counts as never worse than without us."""

from __future__ import annotations

import pytest

from tests.faults.verdict import Attempt, Outcome, Rule

GOOD, LATE, LATER = Attempt(0.2), Attempt(1.2), Attempt(4.0)
BAD, BAD_LATE = Attempt(0.1, "digest mismatch"), Attempt(4.0, "time-out")
RULE, FORCED, SAVED = Rule(1.5), Rule(1.5, forced=True), Rule(1.5, saved=True)


@pytest.mark.parametrize(
    ("rule", "ours", "direct"),
    [
        (RULE, [GOOD], [GOOD]),
        (RULE, [LATE], [GOOD]),
        (RULE, [LATER], [LATER]),
        (RULE, [LATER], [BAD, BAD]),
        (RULE, [BAD, GOOD], [BAD, GOOD]),
        (RULE, [BAD, BAD], [BAD, BAD]),
        (FORCED, [BAD, LATE], [GOOD]),
        (FORCED, [GOOD], [GOOD]),
        (SAVED, [GOOD], [BAD, BAD]),
    ],
)
def test_the_promise_is_kept(rule: Rule, ours: list[Attempt], direct: list[Attempt]) -> None:
    assert Outcome(ours, direct).problem(rule) == ""


@pytest.mark.parametrize(
    ("rule", "ours", "direct", "problem"),
    [
        (RULE, [BAD, GOOD], [GOOD], "fails, and does not without us: digest mismatch"),
        (RULE, [LATER], [GOOD], "takes 3.8 s longer than without us"),
        (RULE, [BAD_LATE, BAD], [BAD, BAD], "takes 3.9 s longer than without us"),
        (RULE, [BAD, BAD], [BAD, GOOD], "fails, and does not without us: digest mismatch"),
        (FORCED, [BAD, BAD], [GOOD], "fails, and does not without us: digest mismatch"),
        (FORCED, [BAD, LATER], [GOOD], "takes 3.8 s longer than without us"),
        (SAVED, [BAD, GOOD], [BAD, BAD], "fails although a peer has it all: digest mismatch"),
        (SAVED, [LATER], [BAD, BAD], "takes 3.9 s longer than without us"),
    ],
)
def test_the_promise_is_broken(
    rule: Rule, ours: list[Attempt], direct: list[Attempt], problem: str
) -> None:
    assert Outcome(ours, direct).problem(rule) == problem
