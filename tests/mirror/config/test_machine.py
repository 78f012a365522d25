from __future__ import annotations

from pathlib import Path

import pytest

from mirror.config import machine


def test_own_address_is_not_loopback() -> None:
    address = machine.node_address()
    assert address is None or not address.is_loopback


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ([], "usual"),
        (["usual"], "usual"),
        (["k3s"], "k3s"),
        (["usual", "k3s"], "k3s"),
        (["agent/containerd"], "k3s"),
        (["agent/containerd", "usual"], "usual"),
    ],
)
def test_socket_is_the_one_that_is_or_will_be_there(
    tmp_path: Path, there: list[str], found: str
) -> None:
    for name in there:
        (tmp_path / name).mkdir(parents=True)
    socket = machine.containerd_socket(tmp_path, tmp_path / "k3s", tmp_path / "usual")
    assert socket == tmp_path / found


def test_name_is_in_lower_case() -> None:
    assert machine.node_name() == machine.node_name().lower()
