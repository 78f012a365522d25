from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mirror import VERSION
from mirror.config.load import flag_of, option_names


def spegla(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mirror.cli.main", *argv],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "K3S_CONFIG_FILE": "", "COLUMNS": "100", **environ},
        check=False,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"node-ip: 10.0.0.1\ndata-dir: {tmp_path}/data\nprivate-registry: {tmp_path}/r.yaml\n"
        f"containerd-config-path: {tmp_path}/certs.d\n"
        f"containerd-address: {tmp_path}/containerd.sock\n"
    )
    (tmp_path / "r.yaml").write_text("mirrors: {docker.io: , 'a.example:5000': }\n")
    return path


def test_help_lists_the_commands_and_loads_nothing_heavy() -> None:
    done = spegla("--help")
    assert done.returncode == 0
    for command in ("agent", "hosts", "containerd-config"):
        assert f"\n  {command} " in done.stdout
    code = "import sys, mirror.cli.main\nprint(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"pydantic", "grpc", "cryptography", "aiohttp", "libp2p", "rich"}.isdisjoint(loaded)


def test_version_is_told() -> None:
    done = spegla("--version")
    assert (done.returncode, done.stdout) == (0, f"spegla {VERSION}\n")


def test_every_setting_is_a_flag_of_agent() -> None:
    text = spegla("agent", "--help").stdout
    for name in option_names():
        assert f" {flag_of(name)} " in text
    assert "--config FILE" in text
    assert "default: 6443" in text


def test_wrong_setting_is_one_line_and_exit_1(file: Path) -> None:
    done = spegla("agent", "--config", str(file), "--p2p-port", "x")
    assert done.returncode == 1
    assert done.stderr == (
        "spegla: --p2p-port: the value 'x' is wrong: expected a port from 1 to 65535\n"
    )


def test_unknown_flag_is_a_usage_error() -> None:
    assert spegla("agent", "--no-such-flag").returncode == 2


def test_hosts_prints_without_touching_anything(file: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = spegla("hosts", "--print", SPEGLA_CONFIG=str(file))
    assert done.returncode == 0
    assert f"==> {tmp_path}/certs.d/docker.io/hosts.toml" in done.stdout
    assert f"{tmp_path}/data/agent/spegla/tls/client.crt" in done.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_hosts_writes_files_and_the_certificates_they_name(file: Path, tmp_path: Path) -> None:
    assert spegla("hosts", "--config", str(file)).returncode == 0
    hosts = tomllib.loads((tmp_path / "certs.d/a.example_5000_/hosts.toml").read_text())
    [mirror] = hosts["host"].values()
    assert all(Path(name).exists() for name in [*mirror["ca"], *mirror["client"][0]])


def test_hosts_refuses_a_broken_registries_yaml(file: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("mirrors: [")
    done = spegla("hosts", "--config", str(file))
    assert done.returncode == 1
    assert done.stderr.startswith(f"spegla: {tmp_path}/r.yaml: line ")
    assert not (tmp_path / "certs.d").exists()


def test_containerd_config_prints_what_a_version_needs(file: Path, tmp_path: Path) -> None:
    done = spegla("containerd-config", "-c", str(file), "--containerd-version", "2.1.9")
    text = tomllib.loads(done.stdout)
    registry = text["plugins"]["io.containerd.cri.v1.images"]["registry"]
    assert registry["config_path"] == f"{tmp_path}/certs.d"


def test_containerd_config_is_added_once(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "containerd.toml"
    target.write_text("version = 2\n# mine\n")
    argv = ("containerd-config", "-c", str(file), "--write", "--file", str(target))
    assert "Restart containerd" in spegla(*argv).stdout
    assert "# mine" in target.read_text()
    assert "nothing changed" in spegla(*argv).stdout


def test_containerd_config_is_made_where_there_is_none(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "etc/config.toml"
    argv = ("containerd-config", "-c", str(file), "--write", "--file", str(target))
    done = spegla(*argv, "--containerd-version", "1.6.20")
    assert done.returncode == 0
    assert tomllib.loads(target.read_text())["version"] == 2


def test_silent_containerd_is_told_with_the_way_round(file: Path) -> None:
    done = spegla("containerd-config", "-c", str(file))
    assert done.returncode == 1
    assert "say --containerd-version" in done.stderr
