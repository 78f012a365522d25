from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.config.document import parse_yaml
from mirror.config.node import NodeConfig
from mirror.config.registries import Registries, load_registries, parse_registries
from mirror.errors import SetupError

FULL = """
mirrors:
  docker.io:
    endpoint: [https://a.example, b.example:5000/x/v2, https://a.example/v2]
    rewrite: {"^library/(.*)": "proxy/$1"}
  "reg.example:5000":
  "*":
    endpoint: [https://all.example]
configs:
  a.example:
    auth: {username: user, password: secret}
    tls: {ca_file: /ca.crt, cert_file: /c.crt, key_file: /c.key, insecure_skip_verify: true}
  "*": {auth: {auth: dTpw}}
  registry-1.docker.io: {auth: {username: hub, password: x}}
"""


def parse(text: str, *mirrored: str, default: bool = True) -> Registries:
    return parse_registries(parse_yaml(text.encode(), "r"), "r", mirrored, default)


def urls(registries: Registries, name: str) -> list[str]:
    return [endpoint.url for endpoint in registries.endpoints(name)]


def test_endpoints_come_in_order_without_duplicates_and_the_default_last() -> None:
    assert urls(parse(FULL), "docker.io") == [
        "https://a.example/v2",
        "https://b.example:5000/x/v2",
        "https://registry-1.docker.io/v2",
    ]


def test_rewrites_are_for_listed_endpoints_only() -> None:
    listed, _, own = parse(FULL).endpoints("docker.io")
    assert listed.repository("library/busybox") == "proxy/busybox"
    assert own.repository("library/busybox") == "library/busybox"


def test_credentials_belong_to_the_host_that_is_asked() -> None:
    first, second, own = parse(FULL).endpoints("docker.io")
    assert first.auth is not None
    assert (first.auth.username, first.auth.password) == ("user", "secret")
    assert first.tls is not None
    assert first.tls.ca == Path("/ca.crt")
    assert first.tls.skip_verify
    assert second.auth is None
    assert own.auth is not None
    assert own.auth.username == "hub"


def test_wildcard_is_for_registries_without_an_entry() -> None:
    registries = parse(FULL)
    assert urls(registries, "quay.io") == ["https://all.example/v2", "https://quay.io/v2"]
    assert urls(registries, "reg.example:5000") == ["https://reg.example:5000/v2"]
    own = registries.endpoints("quay.io")[-1]
    assert own.auth is not None
    assert own.auth.basic == "Basic dTpw"
    assert registries.endpoints("reg.example:5000")[-1].auth is None


def test_dockers_three_names_are_one_registry() -> None:
    registries = parse(FULL)
    assert urls(registries, "index.docker.io") == urls(registries, "docker.io")


def test_default_endpoint_listed_last_is_there_once() -> None:
    registries = parse("mirrors: {docker.io: {endpoint: [https://a.example, docker.io]}}")
    assert urls(registries, "docker.io") == [
        "https://a.example/v2",
        "https://registry-1.docker.io/v2",
    ]


def test_default_endpoint_can_be_barred_for_listed_registries_only() -> None:
    text = "mirrors: {docker.io: {endpoint: [https://a.example]}, ghcr.io: }"
    registries = parse(text, default=False)
    assert urls(registries, "docker.io") == ["https://a.example/v2"]
    assert urls(registries, "ghcr.io") == []
    assert urls(registries, "quay.io") == ["https://quay.io/v2"]


def test_host_with_credentials_is_not_barred_by_the_wildcard() -> None:
    registries = parse(
        'mirrors: {"*": }\nconfigs: {a.example: {auth: {username: u}}}', default=False
    )
    assert urls(registries, "a.example") == ["https://a.example/v2"]
    assert urls(registries, "b.example") == []


def test_covers_compares_hosts_with_and_without_port() -> None:
    registries = parse("mirrors: {docker.io: , 'reg.example:5000': }")
    assert registries.covers("docker.io")
    assert registries.covers("registry-1.docker.io")
    assert registries.covers("reg.example:5000")
    assert registries.covers("reg.example")
    assert not registries.covers("reg.example:5001")
    assert not registries.covers("quay.io")


def test_wildcard_covers_all_but_this_machine() -> None:
    registries = parse("mirrors: {'*': }")
    assert registries.covers("anything.example:1")
    assert not registries.covers("localhost:5000")
    assert not registries.covers("127.0.0.1")
    assert not registries.covers("::1")  # as containerd labels what came from [::1]:5000


def test_ipv6_registry_is_covered_by_its_label() -> None:
    registries = parse("mirrors: {'[fd00::1]:5000': }")
    assert registries.covers("[fd00::1]:5000")
    assert registries.covers("fd00::1")
    assert not registries.covers("[fd00::1]:5001")
    assert not registries.covers("fd00::2")


def test_nothing_is_covered_without_mirrors() -> None:
    assert not parse("configs: {a.example: {auth: {username: u}}}").covers("a.example")


def test_localhost_is_skipped_with_k3s_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "spegla"):
        registries = parse(
            "mirrors: {'localhost:5000': {endpoint: [https://a.example]}, docker.io: }"
        )
    assert registries.mirrored == ("docker.io",)
    assert caplog.messages == [
        "Distributed registry mirror skipping invalid registry: localhost:5000"
    ]
    assert urls(registries, "localhost:5000")[0] == "https://a.example/v2"


def test_mirrored_registries_stand_in_place_of_the_keys() -> None:
    registries = parse(FULL, "docker.io", "ghcr.io")
    assert registries.mirrored == ("docker.io", "ghcr.io")
    assert urls(registries, "docker.io")[0] == "https://a.example/v2"
    assert urls(registries, "ghcr.io") == ["https://ghcr.io/v2"]
    assert not registries.covers("quay.io")


def test_file_need_not_be_there(tmp_path: Path) -> None:
    config = NodeConfig(private_registry=tmp_path / "no.yaml", mirrored_registries=("docker.io",))
    assert load_registries(config).mirrored == ("docker.io",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mirrors: [docker.io]", "r: mirrors: "),
        ("mirrors: {docker.io: {endpoint: https://a}}", "r: mirrors: docker.io: endpoint: "),
        ("mirrors: {docker.io: {endpoint: ['ftp://a']}}", "endpoint 'ftp://a' is wrong"),
        ("mirrors: {docker.io: {rewrite: {'(': x}}}", "is no regular expression"),
        ("configs: {a: {tls: {cert_file: /c}}}", "cert_file and key_file together"),
        ("configs: {a: {auth: {auth: '!'}}}", "base64 of username:password"),
        ('configs: {a: {auth: {username: "a\\nb"}}}', "line break"),
        ("configs: {a: {tls: {insecure_skip_verify: maybe}}}", "insecure_skip_verify"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_key(text: str, message: str) -> None:
    with pytest.raises(SetupError) as caught:
        parse(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("r: ")


def test_secrets_are_in_no_error() -> None:
    for text in (
        "configs: {a: {auth: {password: [geheim], username: {x: geheim}}}}",
        "configs: {a: {auth: {auth: geheim!}}}",
        "configs: {a: {auth: {username: 'u:geheim'}}}",
        "mirrors: {a: {endpoint: ['https://u:geheim@a']}}",
    ):
        try:
            registries = parse(text)
        except SetupError as error:
            shown = str(error)
        else:
            shown = repr(registries)
        assert "geheim" not in shown


def test_unknown_keys_pass() -> None:
    assert parse("mirrors: {docker.io: {new: 1}}\nnewer: {}").mirrored == ("docker.io",)


_KEYS = st.sampled_from(
    [
        "mirrors",
        "configs",
        "docker.io",
        "*",
        "a:5",
        "endpoint",
        "rewrite",
        "auth",
        "tls",
        "username",
    ]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("https://a.example"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(_KEYS, _VALUES, max_size=3), st.booleans())
def test_nonsense_is_read_or_refused(document: dict[str, object], default: bool) -> None:
    with contextlib.suppress(SetupError):
        registries = parse_registries(document, "r", (), default)
        for name in ("docker.io", "a:5", "localhost:1"):
            assert isinstance(registries.endpoints(name), tuple)
