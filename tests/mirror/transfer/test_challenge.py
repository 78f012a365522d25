from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.transfer.challenge import Challenge, parse_challenges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            'Bearer realm="https://a.example/token",service="b",scope="repository:x/y:pull,push"',
            [Challenge("bearer", {
                "realm": "https://a.example/token", "service": "b",
                "scope": "repository:x/y:pull,push",
            })],
        ),
        ('Basic realm="a \\"b\\" c"', [Challenge("basic", {"realm": 'a "b" c'})]),
        ("basic", [Challenge("basic", {})]),
        (
            "Negotiate, BEARER Realm = x , service=y, Basic realm=z",
            [Challenge("negotiate", {}), Challenge("bearer", {"realm": "x", "service": "y"}),
             Challenge("basic", {"realm": "z"})],
        ),
        ("realm=x", []),
        ("", []),
        ("\x00\xff", []),
        (",,, ,", []),
        ('Bearer realm="unfinished', [Challenge("bearer", {})]),
        ("Bearer realm=a,realm=b", [Challenge("bearer", {"realm": "a"})]),
    ],
)  # fmt: skip
def test_challenges_are_read_as_far_as_they_make_sense(
    header: str, expected: list[Challenge]
) -> None:
    assert list(parse_challenges([header])) == expected


def test_each_header_may_hold_one() -> None:
    found = parse_challenges(["Basic realm=a", "Bearer realm=b"])
    assert [challenge.scheme for challenge in found] == ["basic", "bearer"]


@given(st.text())
def test_nonsense_never_raises(text: str) -> None:
    parse_challenges([text, "Bearer " + text, 'Bearer realm="' + text])


def test_long_nonsense_takes_no_time() -> None:
    for text in ('Bearer realm="' + '\\"' * 100_000, "a=" * 100_000, "," * 100_000, " " * 100_000):
        parse_challenges([text])
