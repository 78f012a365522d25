from pathlib import Path

import pytest

from benchmarks.page import BEGIN, END, NoPlace, replaced, write


def test_only_what_is_between_the_marks_changes() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replaced(page, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


def test_writing_twice_is_writing_once() -> None:
    once = replaced(f"{BEGIN}{END}", "new")
    assert replaced(once, "new") == once


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_a_page_without_its_marks_is_refused(page: str) -> None:
    with pytest.raises(NoPlace):
        replaced(page, "new")


def test_a_missing_page_is_made(tmp_path: Path) -> None:
    write(tmp_path / "performance.md", "table")
    assert "\n\ntable\n\n" in (tmp_path / "performance.md").read_text()
