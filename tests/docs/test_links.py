"""Links between the pages lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PAGES = sorted([TOP / "README.md", TOP / "CHANGELOG.md", *(TOP / "docs").rglob("*.md")])


def links(page: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(\s*([^)\s]+)\s*\)", without_code(page)):
        if not re.match(r"[a-z]+:", target):
            yield target


def without_code(page: Path) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the page's headings."""
    headings = re.findall(r"^#+ (.*)$", without_code(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_links_lead_to_pages_and_headings_that_are_there(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), target
        if anchor:
            assert anchor in anchors(place), target


def test_every_page_of_docs_is_reached_from_the_readme() -> None:
    linked = {(TOP / target.partition("#")[0]).resolve() for target in links(TOP / "README.md")}
    assert set((TOP / "docs").glob("*.md")) <= linked


def test_decisions_are_numbered_without_a_gap() -> None:
    decisions = sorted((TOP / "docs/decisions").glob("*.md"))
    assert [page.name[:5] for page in decisions] == [
        f"{number:04}-" for number in range(1, len(decisions) + 1)
    ]
    for page in decisions:
        assert re.findall(r"^## (.*)$", page.read_text(), flags=re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequences",
        ], page.name
