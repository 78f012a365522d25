"""The table that the fault matrix writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.page import BEGIN, END, NoPlace, replaced, table
from tests.faults.verdict import Attempt, Outcome

GOOD = Outcome([Attempt(0.26)], [Attempt(0.11)])
FAILED = Outcome([Attempt(0.3, "x"), Attempt(0.2)], [Attempt(0.1)])


def test_a_table_for_each_group_has_a_column_for_each_version() -> None:
    rows = {("a peer", "is dead"): GOOD, ("TLS", "fails"): FAILED}

    assert table({"1.6": rows, "2.1": {("a peer", "is dead"): GOOD}}).splitlines() == [
        "| a peer | containerd 1.6 | containerd 2.1 |",
        "|---|---|---|",
        "| is dead | 0.3 / 0.1 | 0.3 / 0.1 |",
        "",
        "| TLS | containerd 1.6 | containerd 2.1 |",
        "|---|---|---|",
        "| fails | fails 0.3, then 0.2 / 0.1 |  |",
    ]


def test_only_what_is_between_the_marks_is_replaced() -> None:
    page = f"# Before\n{BEGIN}\nold\n{END}\nafter\n"

    once = replaced(page, "new")

    assert once == f"# Before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert replaced(once, "new") == once


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(NoPlace):
        replaced(f"# Page\n{BEGIN}\n", "new")


def test_the_documentation_has_the_marks() -> None:
    replaced((Path(__file__).parents[2] / "docs/reliability.md").read_text(), "new")
