from __future__ import annotations

import contextlib
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirror.config import values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1048576", 1048576),
        ("500K", 512000),
        ("100M", 100 << 20),
        ("1GiB", 1 << 30),
        ("2 tb", 2 << 40),
    ],
)
def test_sizes_take_units_of_1024(text: str, expected: int) -> None:
    assert values.size(text) == expected


@pytest.mark.parametrize("raw", ["0", "-1", "1.5M", "M", "", "1X", "9" * 40, [1], {"a": 1}, None])
def test_wrong_sizes_are_refused(raw: object) -> None:
    with pytest.raises(ValueError, match=r"size|one value"):
        values.size(raw)


@pytest.mark.parametrize(
    ("raw", "expected"), [(True, True), ("true", True), ("1", True), (0, False), ("off", False)]
)
def test_flags_take_gos_spellings(raw: object, expected: bool) -> None:
    assert values.flag(raw) is expected


@pytest.mark.parametrize("raw", [0, 65536, "x", "", "٣", "1e3", -5, True])
def test_wrong_ports_are_refused(raw: object) -> None:
    with pytest.raises(ValueError, match="port"):
        values.port(raw)


def test_lists_come_as_lists_or_with_commas() -> None:
    assert values.texts(["a, b", "c", None, "a"]) == ("a", "b", "c")
    assert values.addresses("10.0.0.1,fd00::1") == (ip_address("10.0.0.1"), ip_address("fd00::1"))


@pytest.mark.parametrize(
    "word", ["/ip4/10.0.0.1/tcp/5001", "dns:peers.example", "https://a.example:6443"]
)
def test_bootstrap_takes_its_three_forms(word: str) -> None:
    assert values.bootstrap(word) == (word,)


@pytest.mark.parametrize("word", ["10.0.0.1", "dns:", "ftp://x"])
def test_bootstrap_refuses_others(word: str) -> None:
    with pytest.raises(ValueError, match="multiaddresses"):
        values.bootstrap(word)


def test_estargz_is_another_word_for_stargz() -> None:
    assert values.snapshotter("estargz") == "stargz"


def test_socket_may_have_the_scheme_that_kubelet_writes() -> None:
    assert values.socket_path("unix:///run/x.sock") == Path("/run/x.sock")


@pytest.mark.parametrize("word", ["http://x", "https://x/path", "x:6443", "https://a b"])
def test_server_is_an_https_address_without_path(word: str) -> None:
    with pytest.raises(ValueError, match="https://HOST"):
        values.server(word)


def test_registries_lose_their_scheme() -> None:
    assert values.registries(["https://docker.io/", "*", "r.example:5000"]) == (
        "docker.io",
        "*",
        "r.example:5000",
    )


_READERS = [
    values.text,
    values.optional_text,
    values.flag,
    values.path,
    values.optional_path,
    values.socket_path,
    values.port,
    values.size,
    values.optional_size,
    values.host_port,
    values.texts,
    values.addresses,
    values.bootstrap,
    values.choice("a", "b"),
    values.snapshotter,
    values.server,
    values.namespace,
    values.node_name,
    values.registries,
]
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_NONSENSE = st.recursive(
    _SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)


@given(read=st.sampled_from(_READERS), raw=_NONSENSE)
@settings(max_examples=500)
def test_nonsense_is_read_or_refused_with_what_was_expected(
    read: Callable[[object], object], raw: object
) -> None:
    with contextlib.suppress(ValueError):
        read(raw)
