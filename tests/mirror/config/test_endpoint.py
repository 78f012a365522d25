from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.config.endpoint import Auth, Endpoint, Rewrite, is_localhost, parse_address, split_port


def rewrite(pattern: str, replacement: str) -> Rewrite:
    return Rewrite(re.compile(pattern), replacement)


# Expected values are those of Go's regexp.ReplaceAllString.
@pytest.mark.parametrize(
    ("pattern", "replacement", "name", "expected"),
    [
        ("^library/(.*)", "proxy/$1", "library/busybox", "proxy/busybox"),
        ("^library/(.*)", "proxy/$1", "other/busybox", "other/busybox"),
        ("(.*)", "x/$1", "a/b", "x/a/b"),
        ("(.*)", "x/${1}-y", "a", "x/a-y"),
        ("(a)", "$1x", "bab", "bb"),
        ("(a)", "${1}x", "bab", "baxb"),
        ("(?P<who>a)", "$who.$$", "a", "a.$"),
        ("(a)|(b)", "[$2]", "ab", "[][b]"),
        ("a", "$9", "bab", "bb"),
        ("b*", "-", "abc", "-a-c-"),
        ("a", r"\1", "a", r"\1"),
    ],
)
def test_rewrite_follows_gos_rules(
    pattern: str, replacement: str, name: str, expected: str
) -> None:
    assert rewrite(pattern, replacement).apply(name) == expected


def test_first_rule_that_changes_the_name_is_the_only_one() -> None:
    rules = (rewrite("^x/", "y/"), rewrite("^a/", "x/"), rewrite("^x/", "z/"))
    assert Endpoint("https://e/v2", rewrites=rules).repository("a/b") == "x/b"
    assert Endpoint("https://e/v2", rewrites=rules).repository("n/b") == "n/b"


@pytest.mark.parametrize(
    ("pattern", "replacement", "prefix"),
    [
        ("(.*)", "p/$1", "p/"),
        ("^(.*)$", "p/q/${1}", "p/q/"),
        ("^(.+)", "p/$1", "p/"),
        ("(.*)", "p-$1", None),
        ("(.*)", "p/$1/x", None),
        ("^library/(.*)", "p/$1", None),
        ("(.*)", "$1/$1", None),
    ],
)
def test_prefix_is_found_only_in_rules_that_do_nothing_else(
    pattern: str, replacement: str, prefix: str | None
) -> None:
    rule = rewrite(pattern, replacement)
    assert rule.prefix == prefix
    if prefix is not None:
        assert rule.apply("a/b") == prefix + "a/b"


@given(st.text(alphabet="a$1{}_x\\", max_size=12), st.text(alphabet="ab/", max_size=6))
def test_any_replacement_can_be_applied(replacement: str, name: str) -> None:
    assert isinstance(rewrite("(a)|b", replacement).apply(name), str)


@pytest.mark.parametrize(
    ("text", "url", "override"),
    [
        ("registry.example", "https://registry.example/v2", False),
        ("https://registry.example/", "https://registry.example/v2", False),
        ("https://registry.example/v2", "https://registry.example/v2", False),
        ("registry.example/prefix/v2", "https://registry.example/prefix/v2", True),
        ("http://10.0.0.1:5000", "http://10.0.0.1:5000/v2", False),
        ("localhost:5000", "http://localhost:5000/v2", False),
        ("localhost", "https://localhost/v2", False),
        ("127.0.0.1:443", "https://127.0.0.1:443/v2", False),
        ("https://localhost:5000", "https://localhost:5000/v2", False),
        ("[::1]:5000", "http://[::1]:5000/v2", False),
        ("docker.io", "https://registry-1.docker.io/v2", False),
        ("https://index.docker.io", "https://registry-1.docker.io/v2", False),
    ],
)
def test_addresses_are_normalised_as_k3s_does(text: str, url: str, override: bool) -> None:
    address = parse_address(text)
    assert (address.url, address.override_path) == (url, override)


@pytest.mark.parametrize(
    "text",
    ["", "*", "ftp://a", "https://", "https://user:pw@a", "a b", "a\nb", "a?x=1", "x" * 3000],
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="an address such as"):
        parse_address(text)


@given(st.text(max_size=40))
def test_nonsense_is_an_address_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert "\n" not in parse_address(text).url


def test_port_is_split_off() -> None:
    assert split_port("a.example:5000") == ("a.example", "5000")
    assert split_port("[fd00::1]") == ("[fd00::1]", "")
    assert split_port("fd00::1") == ("fd00::1", "")
    assert split_port("[fd00::1]:5000") == ("[fd00::1]", "5000")


def test_this_machine_is_known_by_all_its_names() -> None:
    assert all(map(is_localhost, ["localhost", "localhost:5000", "127.0.0.9:1", "[::1]:5000"]))
    assert not is_localhost("localhost.example")


def test_basic_authorization_is_base64_and_never_shown() -> None:
    auth = Auth("user", "pässword")
    assert auth.basic == "Basic dXNlcjpww6Rzc3dvcmQ="
    assert "pässword" not in repr(auth)
    assert Auth(identity_token="t").basic is None
