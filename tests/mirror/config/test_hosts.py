from __future__ import annotations

import re
import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.config.document import parse_yaml
from mirror.config.endpoint import Auth, Endpoint, Rewrite, Tls
from mirror.config.hosts import (
    HEADER,
    HostsPlan,
    folder_name,
    mirror_endpoint,
    node_hosts,
    plan_hosts,
)
from mirror.config.node import K3S_CONTAINERD_SOCKET, NodeConfig
from mirror.config.registries import HostConfig, Registries, parse_registries

TLS = Tls(ca=Path("/t/ca.crt"), cert=Path("/t/client.crt"), key=Path("/t/client.key"))
MIRROR = "https://127.0.0.1:6443/v2"


def plan(text: str, default: bool = True, rewrites: bool = False, mirror: bool = True) -> HostsPlan:
    registries = parse_registries(parse_yaml(text.encode(), "r"), "r", (), default)
    endpoint = mirror_endpoint(NodeConfig(), TLS) if mirror else None
    return plan_hosts(registries, endpoint, rewrites)


def parsed(made: HostsPlan, folder: str) -> dict[str, Any]:
    return tomllib.loads(made.files[folder].text)


def test_mirror_comes_first_with_its_certificates_then_the_endpoints_then_the_server() -> None:
    made = plan("mirrors: {docker.io: {endpoint: [https://a.example, b.example/x]}}")
    file = parsed(made, "docker.io")
    assert list(file["host"]) == [MIRROR, "https://a.example/v2", "https://b.example/x"]
    assert file["host"][MIRROR] == {
        "capabilities": ["pull", "resolve"],
        "dial_timeout": "1s",
        "ca": ["/t/ca.crt"],
        "client": [["/t/client.crt", "/t/client.key"]],
    }
    assert file["host"]["https://b.example/x"]["override_path"] is True
    assert file["server"] == "https://registry-1.docker.io/v2"
    assert file["capabilities"] == ["pull", "resolve", "push"]


def test_first_line_says_whose_file_it_is() -> None:
    assert plan("mirrors: {quay.io: }").files["quay.io"].text.startswith(HEADER + "\n")


def test_host_table_is_there_without_any_host() -> None:
    made = plan("mirrors: {quay.io: }", default=False)
    assert parsed(made, "quay.io")["host"] == {}
    assert "\n[host]\n" in made.files["quay.io"].text


def test_wildcard_names_no_server_so_that_each_registry_is_its_own() -> None:
    file = parsed(plan('mirrors: {"*": {endpoint: [https://all.example]}}'), "_default")
    assert "server" not in file
    assert list(file["host"]) == [MIRROR, "https://all.example/v2"]


@pytest.mark.parametrize(
    ("endpoints", "server", "hosts"),
    [
        ("[]", MIRROR, []),
        ("[https://a.example]", "https://a.example/v2", [MIRROR]),
        ("[a.example, b.example]", "https://b.example/v2", [MIRROR, "https://a.example/v2"]),
    ],
)
@pytest.mark.parametrize(("name", "folder"), [("docker.io", "docker.io"), ("*", "_default")])
def test_without_default_endpoint_the_last_one_is_the_server(
    name: str, folder: str, endpoints: str, server: str, hosts: list[str]
) -> None:
    made = plan(f'mirrors: {{"{name}": {{endpoint: {endpoints}}}}}', default=False)
    file = parsed(made, folder)
    assert file["server"] == server
    assert list(file["host"]) == hosts
    assert ("ca" in file) == (server == MIRROR)


def test_localhost_gets_its_endpoints_without_the_mirror() -> None:
    made = plan("mirrors: {'localhost:5000': {endpoint: [https://a.example]}}")
    assert list(parsed(made, "localhost_5000_")["host"]) == ["https://a.example/v2"]


def test_credentials_become_a_header_in_a_secret_file() -> None:
    made = plan(
        "mirrors: {docker.io: {endpoint: [https://a.example]}, quay.io: }\n"
        "configs: {a.example: {auth: {username: u, password: p}}}"
    )
    host = parsed(made, "docker.io")["host"]["https://a.example/v2"]
    assert host["header"] == {"Authorization": ["Basic dTpw"]}
    assert made.files["docker.io"].secret
    assert not made.files["quay.io"].secret


def test_host_with_credentials_alone_gets_a_file_of_its_own() -> None:
    text = "configs: {a.example: {auth: {username: u, password: p}, tls: {ca_file: /ca}}}"
    file = parsed(plan(text), "a.example")
    assert file["server"] == "https://a.example/v2"
    assert file["header"] == {"Authorization": ["Basic dTpw"]}
    assert file["ca"] == ["/ca"]
    assert file["host"] == {}


def test_wildcard_mirror_reaches_hosts_that_have_a_file_for_their_credentials() -> None:
    text = 'mirrors: {"*": }\nconfigs: {a.example: {auth: {username: u, password: p}}}'
    assert list(parsed(plan(text), "a.example")["host"]) == [MIRROR]


def test_identity_token_is_warned_about() -> None:
    made = plan("mirrors: {a.example: }\nconfigs: {a.example: {auth: {identity_token: x}}}")
    assert "header" not in parsed(made, "a.example")
    assert ["identity_token" in warning for warning in made.warnings] == [True]


def test_nothing_is_written_for_a_registry_with_nothing_to_say() -> None:
    assert plan("mirrors: {docker.io: , quay.io: {endpoint: [quay.io]}}", mirror=False).files == {}


REWRITE = "mirrors: {docker.io: {endpoint: [https://a.example], rewrite: {'%s': '%s'}}}"


def test_k3s_containerd_gets_rewrites_as_a_table() -> None:
    file = parsed(plan(REWRITE % ("^library/(.*)", "p/$1"), rewrites=True), "docker.io")
    assert file["host"]["https://a.example/v2"]["rewrite"] == {"^library/(.*)": "p/$1"}
    assert "rewrite" not in file["host"][MIRROR]
    assert "rewrite" not in file


def test_stock_containerd_gets_a_prefix_as_the_endpoints_path() -> None:
    file = parsed(plan(REWRITE % ("^(.*)$", "p/q/$1")), "docker.io")
    assert file["host"]["https://a.example/v2/p/q"]["override_path"] is True


def test_stock_containerd_is_not_sent_to_a_wrong_image() -> None:
    made = plan(REWRITE % ("^library/(.*)", "p/$1"))
    assert list(parsed(made, "docker.io")["host"]) == [MIRROR]
    assert len(made.warnings) == 1
    assert "https://a.example/v2" in made.warnings[0]


def test_dockers_other_names_share_its_folder() -> None:
    made = plan(
        "mirrors: {index.docker.io: }\nconfigs: {registry-1.docker.io: {auth: {username: u}}}"
    )
    assert list(made.files) == ["docker.io"]


@pytest.mark.parametrize(
    ("registry", "folder"),
    [
        ("docker.io", "docker.io"),
        ("a.example:5000", "a.example_5000_"),
        ("*", "_default"),
        ("[::1]:5000", "[::1]_5000_"),
    ],
)
def test_folder_is_where_containerd_looks_first(registry: str, folder: str) -> None:
    assert folder_name(registry) == folder


def test_mirror_is_asked_over_ipv6_where_there_is_nothing_else() -> None:
    both = NodeConfig(node_ip=(ip_address("10.0.0.1"), ip_address("fd00::1")), insecure_http=True)
    assert mirror_endpoint(both, None).url == "http://127.0.0.1:6443/v2"
    only = NodeConfig(node_ip=(ip_address("fd00::1"),))
    assert mirror_endpoint(only, TLS).url == "https://[::1]:6443/v2"


def test_node_that_does_not_mirror_writes_only_what_registries_yaml_says() -> None:
    registries = Registries(mirrored=("docker.io",), listed={"docker.io": ()})
    joined = NodeConfig(server="https://a:6443", containerd_address=K3S_CONTAINERD_SOCKET)
    assert node_hosts(joined, registries, TLS).files == {}
    assert list(node_hosts(NodeConfig(), registries, TLS).files) == ["docker.io"]


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(_TEXT, _TEXT, _TEXT, _TEXT)
def test_any_text_survives_toml(path: str, name: str, pattern: str, replacement: str) -> None:
    tls = Tls(ca=Path("/" + path.replace("\0", "")), skip_verify=True)
    rewrite = Rewrite(re.compile(re.escape(pattern)), replacement)
    endpoint = Endpoint(
        f"https://a.example/{name}", rewrites=(rewrite,), auth=Auth(name, path), tls=tls
    )
    registries = Registries(
        mirrored=("docker.io",),
        listed={"docker.io": (endpoint,)},
        configs={"docker.io": HostConfig(auth=Auth(name, path), tls=tls)},
    )
    file = parsed(plan_hosts(registries, mirror_endpoint(NodeConfig(), tls), True), "docker.io")
    host = file["host"][f"https://a.example/{name}"]
    assert host["ca"] == file["ca"] == [str(tls.ca)]
    assert host["rewrite"] == {re.escape(pattern): replacement}
