import ipaddress

import pytest

from p2p.wire.interfaces import InterfaceAddress, announced_ips, read_interfaces

PRESENT = [
    InterfaceAddress(name, ipaddress.ip_address(ip))
    for name, ip in (
        ("lo", "127.0.0.1"),
        ("lo", "::1"),
        ("eth0", "fd00::4"),
        ("eth0", "fe80::1"),
        ("eth0", "10.0.0.4"),
        ("eth1", "10.1.0.4"),
        ("docker0", "172.17.0.1"),
        ("cni0", "10.42.0.1"),
        ("flannel.1", "10.42.0.0"),
        ("veth12", "10.9.0.1"),
    )
]


def announced(listen, announce=()):
    return [str(ip) for ip in announced_ips(listen, announce, PRESENT)]


def test_wildcards_stand_for_real_addresses_once_each():
    assert announced(("::", "0.0.0.0")) == ["10.0.0.4", "10.1.0.4", "fd00::4"]


def test_ipv4_wildcard_announces_no_ipv6():
    assert announced(("0.0.0.0",)) == ["10.0.0.4", "10.1.0.4"]


def test_named_addresses_are_announced_as_they_are():
    assert announced(("127.0.0.1", "10.0.0.4")) == ["127.0.0.1", "10.0.0.4"]


def test_node_ip_replaces_everything_else():
    assert announced(("::", "0.0.0.0"), ("192.0.2.7", "fd00::7", "192.0.2.7")) == [
        "192.0.2.7",
        "fd00::7",
    ]


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="nonsense"):
        announced(("nonsense",))


def test_kernel_names_loopback():
    found = read_interfaces()
    assert InterfaceAddress("lo", ipaddress.ip_address("127.0.0.1")) in found
