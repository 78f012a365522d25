from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from mirror.config import toml

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(_TEXT)
def test_string_reads_back(text: str) -> None:
    assert (
        tomllib.loads(f"a = {toml.string(text)}\n[{toml.string(text)}]")
        == {
            "a": text,
            text: {},
        }
        or text == "a"
    )


@given(st.lists(_TEXT))
def test_array_reads_back(items: list[str]) -> None:
    assert tomllib.loads(f"a = {toml.array(items)}") == {"a": items}
