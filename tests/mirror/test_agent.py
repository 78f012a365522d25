"""A whole node in a process of its own, on loopback with the layout store; and its command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mirror.loopback import free_port

_SECONDS = 20.0


def environment(**more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("SPEGLA_")}
    return {**own, "K3S_CONFIG_FILE": "", "COLUMNS": "100", **more}


def spegla(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "mirror.cli.main", *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        env=environment(),
        check=False,
    )


class Agent:
    """A running `spegla agent` and what it has logged."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def says(self, text: str) -> None:
        """Waits for a log line."""
        until = time.monotonic() + _SECONDS
        while text not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(_SECONDS)


def flags(data: Path) -> list[str]:
    return [
        *("--insecure-http", "--node-ip=127.0.0.1", f"--data-dir={data}"),
        *(f"--registry-port={free_port()}", f"--p2p-port={free_port()}"),
    ]


@contextmanager
def agent(folder: Path, *argv: str) -> Iterator[Agent]:
    log = folder / "agent.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "mirror.cli.main", "agent", *argv],
            stderr=stream,
            text=True,
            env=environment(),
        )
    try:
        yield Agent(process, log)
    finally:
        process.kill()
        process.wait()


LAYOUT = ("--store=layout", "--mirrored-registries=docker.io")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def node(tmp_path: Path, data: Path) -> Iterator[Agent]:
    with agent(tmp_path, *flags(data), *LAYOUT) as node:
        node.says("Distributed registry mirror is ready")
        yield node


def test_a_node_tells_of_itself_and_ends_in_order(node: Agent, data: Path) -> None:
    status = spegla("status", "--data-dir", data)
    assert (status.returncode, "ready" in status.stdout) == (0, True)
    assert json.loads(spegla("status", "--json", "--data-dir", data).stdout)["obstacle"] is None
    peers = spegla("peers", "--data-dir", data)
    assert (peers.returncode, peers.stdout.startswith("no peers")) == (0, True)
    found = spegla("find", "busybox:1", "--data-dir", data)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("docker.io/library/busybox:1: 0 other nodes")
    assert spegla("find", "sha256:12", "--data-dir", data).stderr.startswith(
        "spegla: invalid digest 'sha256:12'"
    )
    assert node.stop() == 0
    assert "Stopping distributed registry mirror" in node.log
    assert "error" not in node.log
    status = spegla("status", "--data-dir", data)
    assert status.returncode == 1
    assert "no node answers" in status.stderr
    assert "Errno" not in status.stderr


def test_a_second_node_in_the_same_folder_ends_and_leaves_the_first_alone(
    node: Agent, data: Path
) -> None:
    second = spegla("agent", *flags(data), *LAYOUT)
    assert second.returncode == 1
    assert "another spegla runs on" in second.stderr
    assert spegla("status", "--data-dir", data).returncode == 0
    assert node.stop(signal.SIGINT) == 0


def test_a_node_with_nothing_to_mirror_takes_back_what_it_told_containerd(
    tmp_path: Path, data: Path
) -> None:
    certs = tmp_path / "certs.d"
    registries = tmp_path / "registries.yaml"
    own = [
        *flags(data),
        *("--store=containerd", f"--containerd-address={tmp_path}/containerd.sock"),
        *(f"--containerd-config-path={certs}", f"--private-registry={registries}"),
    ]
    assert spegla("hosts", *own, "--mirrored-registries=docker.io").returncode == 0
    theirs = certs / "a.example" / "hosts.toml"
    theirs.parent.mkdir()
    theirs.write_text('server = "https://a.example"\n')
    with agent(tmp_path, *own) as node:
        node.says("no registries configured for distributed mirroring")
        node.says(f"list registries under mirrors in {registries}")
        assert node.stop() == 0
    assert [path.name for path in certs.iterdir()] == ["a.example"]
    assert theirs.exists()


def test_a_store_that_was_not_asked_for_is_told(tmp_path: Path, data: Path) -> None:
    socket = tmp_path / "containerd.sock"
    with agent(
        tmp_path, *flags(data), "--mirrored-registries=*", f"--containerd-address={socket}"
    ) as node:
        node.says(f"No containerd at {socket}: images are held in {data}/agent/spegla/oci")
        assert node.stop() == 0
