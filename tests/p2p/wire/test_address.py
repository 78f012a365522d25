import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.wire.address import (
    Endpoint,
    is_dialable,
    parse_multiaddr,
    parse_peer_id,
    show_peer,
    unpack,
)

PEER = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"


@given(st.ip_addresses(), st.integers(1, 65535))
def test_endpoint_survives_both_forms(ip, port):
    endpoint = Endpoint(ip, port)
    assert unpack(endpoint.pack()) == endpoint
    parsed = parse_multiaddr(endpoint.text)
    assert (parsed.ip, parsed.port, parsed.peer) == (ip, port, None)


def test_binary_form_is_libp2ps():
    assert Endpoint(ipaddress.ip_address("10.0.0.4"), 5001).pack() == bytes.fromhex(
        "040a00000406" + "1389"
    )


@given(st.binary(max_size=40))
def test_unpack_takes_any_bytes(data):
    endpoint = unpack(data)
    assert endpoint is None or endpoint.pack() == data


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("040a0000049102" + "1389" + "cd03"),  # QUIC
        bytes.fromhex("3602616106" + "1389"),  # dns4
        bytes.fromhex("040a00000406" + "0000"),  # port 0
        b"",
    ],
)
def test_unpack_leaves_out_what_cannot_be_dialled(data):
    assert unpack(data) is None


def test_parse_reads_peer_id_and_missing_port():
    parsed = parse_multiaddr(f"/ip6/fd00::1/p2p/{PEER}")
    assert parsed.port is None
    assert parsed.peer == parse_peer_id(PEER)
    assert show_peer(parsed.peer) == PEER


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "10.0.0.4",
        "/ip4",
        "/ip4/10.0.0",
        "/ip4/10.0.0.4/udp/5001",
        "/ip4/10.0.0.4/tcp/0",
        "/ip4/10.0.0.4/tcp/65536",
        "/ip4/10.0.0.4/tcp/x",
        "/ip4/10.0.0.4/ip6/::1",
        "/ip4/10.0.0.4/tcp/1/tcp/2",
        "/dns4/name/tcp/5001",
        "/ip4/10.0.0.4/p2p/not-base58!",
        "/ip4/10.0.0.4/p2p/abc",
        "/tcp/5001",
    ],
)
def test_parse_refuses_anything_else(text):
    with pytest.raises(ValueError, match="invalid"):
        parse_multiaddr(text)


@pytest.mark.parametrize("ip", ["0.0.0.0", "::", "224.0.0.1", "ff02::1"])
def test_wildcards_and_groups_are_not_dialled(ip):
    assert not is_dialable(ipaddress.ip_address(ip))
