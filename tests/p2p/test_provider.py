from __future__ import annotations

from multiaddr import Multiaddr

from p2p.port import PeerAddress
from p2p.provider import provider_of
from tests.p2p.kad.network import address_of


def test_a_provider_is_an_id_and_plain_ips():
    texts = ("/ip4/10.0.0.4/tcp/5001", "/ip6/fd00::4/tcp/5001", "/ip4/10.0.0.4/tcp/5002")
    address = PeerAddress(address_of(1).peer, tuple(Multiaddr(text).to_bytes() for text in texts))
    provider = provider_of(address)
    assert provider.peer.startswith("12D3KooW")
    assert provider.addresses == ("fd00::4", "10.0.0.4")
