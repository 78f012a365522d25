from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiaddr import Multiaddr

from p2p.kad.addresses import MAX_ADDRESSES, ips, usable


def packed(*texts: str) -> list[bytes]:
    return [Multiaddr(text).to_bytes() for text in texts]


def test_tcp_over_ip_is_kept_in_order_and_once():
    addresses = packed("/ip4/10.0.0.1/tcp/5001", "/ip6/fd00::1/tcp/5001")
    assert usable([*addresses, *addresses]) == tuple(addresses)


@pytest.mark.parametrize(
    "text",
    [
        "/ip4/10.0.0.1/udp/5001/quic-v1",
        "/ip4/0.0.0.0/tcp/5001",
        "/ip6/::/tcp/5001",
        "/ip6/fe80::1/tcp/5001",
        "/ip6/ff02::1/tcp/5001",
        "/ip4/224.0.0.1/tcp/5001",
        "/ip4/255.255.255.255/tcp/5001",
        "/dns4/node.example/tcp/5001",
        "/ip4/10.0.0.1/tcp/5001/ws",
        "/ip4/10.0.0.1",
    ],
)
def test_what_cannot_be_dialled_is_dropped(text):
    assert usable(packed(text)) == ()


def test_addresses_are_capped():
    many = [b"\x04\x0a\x00" + n.to_bytes(2, "big") + b"\x06\x13\x89" for n in range(1000)]
    assert len(usable(many)) == MAX_ADDRESSES


def test_ips_are_plain_unique_and_ipv6_first():
    addresses = packed("/ip4/10.0.0.1/tcp/5001", "/ip4/10.0.0.1/tcp/5002", "/ip6/fd00::1/tcp/5001")
    assert ips(addresses) == ("fd00::1", "10.0.0.1")


@given(st.lists(st.binary(max_size=40)))
def test_nonsense_is_dropped(addresses):
    ips(usable(addresses))
