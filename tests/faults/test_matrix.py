"""The matrix as a whole."""

from __future__ import annotations

from collections import Counter

from tests.faults.matrix import all_cells


def test_each_cell_has_a_name_of_its_own() -> None:
    names = Counter((cell.group, cell.name) for cell in all_cells())
    assert [name for name, count in names.items() if count > 1] == []
    assert not any("|" in text for name in names for text in name)
