from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.config.document import MAX_BYTES, parse_yaml, read_yaml
from mirror.errors import SetupError


def test_mapping_is_read() -> None:
    assert parse_yaml(b"a: 1\nb: [x, y]\n", "f") == {"a": 1, "b": ["x", "y"]}


@pytest.mark.parametrize("data", [b"", b"# nothing\n", b"---\n"])
def test_empty_file_is_an_empty_mapping(data: bytes) -> None:
    assert parse_yaml(data, "f") == {}


def test_missing_file_is_none(tmp_path: Path) -> None:
    assert read_yaml(tmp_path / "x.yaml") is None


def test_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=f"{tmp_path}: cannot be read"):
        read_yaml(tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is there twice"),
        (b"x:\n  a: 1\n  a: 2\n", "line 3: the key 'a' is there twice"),
        (b"a: [1\nb: 2", "line 2: no valid YAML"),
        (b"- a\n- b\n", "must be a mapping"),
        (b"just words", "must be a mapping"),
        (b"? [a]\n: 1\n", "a key must be a word"),
        (b"a: 1\n---\nb: 2\n", "no valid YAML"),
        (b"a: !!python/object:os.system {}\n", "no valid YAML"),
        (b"a: 2026-13-45\n", "no valid YAML"),
        (b"a: \xff\xfe\n", "no valid YAML"),
        (b"a: " + b"9" * 10_000, "no valid YAML"),
        (b"a: &a [*a]\n", "contains itself"),
        (b"a: " + b"[" * 5000, "nested too deeply"),
        (b"#" * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(data: bytes, message: str) -> None:
    with pytest.raises(SetupError, match=message) as caught:
        parse_yaml(data, "/etc/x.yaml")
    assert str(caught.value).startswith("/etc/x.yaml: ")


def test_alias_may_be_used() -> None:
    assert parse_yaml(b"a: &x {k: v}\nb: {<<: *x, l: w}\n", "f")["b"] == {"k": "v", "l": "w"}


def test_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(SetupError, match="expands to more than"):
        parse_yaml("\n".join(lines).encode(), "f")


def test_merge_key_bomb_is_refused() -> None:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 20)]
    with pytest.raises(SetupError, match="expands to more than"):
        parse_yaml("\n".join(lines).encode(), "f")


@given(
    st.binary(max_size=200)
    | st.text(alphabet="a:-[]{}&*!|>'\"#\n ?,<%", max_size=60).map(str.encode)
)
def test_nonsense_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(SetupError):
        assert isinstance(parse_yaml(data, "f"), dict)
