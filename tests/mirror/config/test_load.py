from __future__ import annotations

import logging
from ipaddress import ip_address
from pathlib import Path

import pytest

from mirror.config import machine
from mirror.config.load import load
from mirror.config.node import NodeConfig
from mirror.errors import SetupError


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "config.yaml", "node-ip: 10.0.0.1\n")


def read(file: Path, environ: dict[str, str] | None = None, **flags: object) -> NodeConfig:
    return load("agent", {"config": str(file), **flags}, environ or {})


def test_flag_beats_environment_beats_drop_in_beats_file(file: Path) -> None:
    write(file, "p2p-port: 1\nregistry-port: 1001\nzone: a\nnode-name: file\n")
    write(file.parent / "config.yaml.d/10.yaml", "p2p-port: 2\nregistry-port: 1002\nzone: b\n")
    environ = {"SPEGLA_P2P_PORT": "3", "SPEGLA_REGISTRY_PORT": "1003"}

    config = read(file, environ, p2p_port="4")

    assert (config.p2p_port, config.registry_port, config.zone) == (4, 1003, "b")
    assert config.node_name == "file"


def test_drop_ins_are_read_in_order_and_only_yaml(file: Path) -> None:
    write(file.parent / "config.yaml.d/20.yml", "zone: later\n")
    write(file.parent / "config.yaml.d/10.yaml", "zone: earlier\n")
    write(file.parent / "config.yaml.d/30.txt", "zone: no\n")
    assert read(file).zone == "later"


def test_drop_ins_do_without_the_file(tmp_path: Path) -> None:
    write(tmp_path / "config.yaml.d/1.yaml", "zone: a\n")
    assert read(tmp_path / "config.yaml").zone == "a"


def test_plus_appends_to_earlier_files(file: Path) -> None:
    write(file, "mirrored-registries: [docker.io]\nnode-ip: 10.0.0.1\n")
    write(
        file.parent / "config.yaml.d/1.yaml",
        "mirrored-registries+: ghcr.io\nnode-ip+: ['fd00::1']\n",
    )
    config = read(file)
    assert config.mirrored_registries == ("docker.io", "ghcr.io")
    assert config.node_ip == (ip_address("10.0.0.1"), ip_address("fd00::1"))


def test_later_file_replaces_a_list_without_plus(file: Path) -> None:
    write(file, "mirrored-registries: [docker.io]\n")
    write(file.parent / "config.yaml.d/1.yaml", "mirrored-registries: [quay.io]\n")
    assert read(file).mirrored_registries == ("quay.io",)


def test_file_can_be_named_by_either_variable(file: Path) -> None:
    write(file, "zone: z\n")
    assert load("agent", {}, {"K3S_CONFIG_FILE": str(file)}).zone == "z"
    assert load("agent", {}, {"SPEGLA_CONFIG": str(file), "K3S_CONFIG_FILE": "/no"}).zone == "z"


def test_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="there is no such file"):
        read(tmp_path / "no.yaml")


def test_k3s_variables_are_known_and_ours_go_first(file: Path) -> None:
    environ = {"K3S_P2P_PORT": "7001", "K3S_P2P_ENABLE_LATEST": "true"}
    assert read(file, environ).p2p_port == 7001
    assert read(file, environ).enable_latest
    assert read(file, environ | {"SPEGLA_P2P_PORT": "7002"}).p2p_port == 7002


def test_kubernetes_service_variables_are_not_settings(file: Path) -> None:
    environ = {"SPEGLA_REGISTRY_PORT": "tcp://10.43.0.9:5000", "SPEGLA_SERVICE_HOST": "10.43.0.9"}
    assert read(file, environ).registry_port == 6443


def test_wrong_value_names_file_key_value_and_remedy(file: Path) -> None:
    write(file, "p2p-port: seven\n")
    with pytest.raises(SetupError) as caught:
        read(file)
    assert str(caught.value) == (
        f"{file}: p2p-port: the value 'seven' is wrong: expected a port from 1 to 65535"
    )


def test_wrong_value_of_a_list_is_shown_as_it_was_written(file: Path) -> None:
    with pytest.raises(SetupError, match=r"--node-ip: the value '10\.0\.0\.1, here' is wrong"):
        read(file, node_ip=["10.0.0.1", "here"])


def test_wrong_value_of_a_variable_names_the_variable(file: Path) -> None:
    with pytest.raises(SetupError, match="SPEGLA_DEBUG: the value 'perhaps' is wrong"):
        read(file, {"SPEGLA_DEBUG": "perhaps"})


def test_secret_is_in_no_error_and_no_repr(file: Path) -> None:
    write(file, "token: [geheim, geheim]\n")
    with pytest.raises(SetupError) as caught:
        read(file)
    assert "geheim" not in str(caught.value)
    assert "geheim" not in repr(NodeConfig(token="geheim"))


def test_k3s_keys_pass_silently_and_misspelt_ones_are_told(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(file, "kubelet-arg: [a=b]\ntls-san: x\nembeded-registry: true\nwhatever-else: 1\n")
    with caplog.at_level(logging.WARNING, "spegla"):
        config = read(file, {"SPEGLA_P2PPORT": "1"})
    assert not config.embedded_registry
    assert [record.getMessage() for record in caplog.records] == [
        f"Unknown setting {file}: embeded-registry, ignored: did you mean embedded-registry?",
        "Unknown setting SPEGLA_P2PPORT, ignored: did you mean SPEGLA_P2P_PORT?",
    ]


def test_machine_fills_what_nobody_said(file: Path) -> None:
    assert read(file).node_name == machine.node_name()
    assert read(file).containerd_address == machine.containerd_socket(read(file).data_dir)
    write(file, "")
    if machine.node_address() is not None:
        assert read(file).node_ip == (machine.node_address(),)


def test_k3s_containerd_means_k3s_folder(file: Path) -> None:
    write(file, "data-dir: /data\ncontainerd-address: /run/k3s/containerd/containerd.sock\n")
    assert read(file).containerd_config_path == Path("/data/agent/etc/containerd/certs.d")
    told = read(file, containerd_config_path="/x")
    assert told.containerd_config_path == Path("/x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("registry-port: 5001", "both 5001"),
        ("token: a\ntoken-file: /b", "token and token-file"),
        ("tls-cert: /a\ntls-key: /b", "belong together"),
        ("tls-ca: /a\ntls-cert: /a\ntls-key: /b\ninsecure-http: true", "insecure-http"),
    ],
)
def test_contradictions_are_refused(file: Path, text: str, message: str) -> None:
    write(file, text)
    with pytest.raises(SetupError, match=message):
        read(file)


def test_stand_alone_agent_mirrors_without_being_told() -> None:
    assert NodeConfig().mirrors
    assert not NodeConfig(server="https://a:6443").mirrors
    assert not NodeConfig(role="server").mirrors
    assert NodeConfig(role="server", embedded_registry=True).mirrors


def test_scheme_follows_insecure_http() -> None:
    assert NodeConfig().scheme == "https"
    assert NodeConfig(insecure_http=True).scheme == "http"
    assert NodeConfig(data_dir=Path("/d")).node_dir == Path("/d/agent/spegla")
