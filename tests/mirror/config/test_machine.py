from __future__ import annotations

from mirror.config import machine


def test_own_address_is_not_loopback() -> None:
    address = machine.node_address()
    assert address is None or not address.is_loopback


def test_socket_is_one_of_the_two_usual_places() -> None:
    assert str(machine.containerd_socket()).endswith("containerd/containerd.sock")


def test_name_is_in_lower_case() -> None:
    assert machine.node_name() == machine.node_name().lower()
