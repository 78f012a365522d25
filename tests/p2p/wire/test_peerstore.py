import ipaddress
import json

import pytest

from p2p.port import PeerAddress, PeerId
from p2p.wire.address import Endpoint
from p2p.wire.peerstore import MAX_AGE_SECONDS, MAX_PEERS, PeerStore

NOW = 1_700_000_000.0


def peer(number):
    ident = PeerId(b"\x12\x20" + number.to_bytes(32, "big"))
    ip = ipaddress.ip_address(f"10.{number >> 8}.{number & 255}.1")
    return PeerAddress(ident, (Endpoint(ip, 5001).pack(),))


def reloaded(path, now=NOW):
    store = PeerStore(path)
    store.load(now)
    return store.peers()


def test_peers_survive_a_restart_the_latest_first(tmp_path):
    store = PeerStore(tmp_path / "peerstore")
    for number, when in ((1, 0), (2, 1), (1, 2)):
        store.seen(peer(number), NOW + when)
    store.save()
    assert reloaded(tmp_path / "peerstore", NOW + 3) == [peer(1), peer(2)]
    assert [path.name for path in tmp_path.iterdir()] == ["peerstore"]


def test_only_the_latest_peers_are_kept(tmp_path):
    store = PeerStore(tmp_path / "peerstore")
    for number in range(MAX_PEERS + 50):
        store.seen(peer(number), NOW)
    store.save()
    peers = reloaded(tmp_path / "peerstore")
    assert len(peers) == MAX_PEERS
    assert peers[0] == peer(MAX_PEERS + 49)


def test_old_peers_are_forgotten(tmp_path):
    store = PeerStore(tmp_path / "peerstore")
    store.seen(peer(1), NOW)
    store.save()
    assert reloaded(tmp_path / "peerstore", NOW + MAX_AGE_SECONDS + 1) == []


def test_peer_without_addresses_is_not_kept(tmp_path):
    store = PeerStore(tmp_path / "peerstore")
    store.seen(PeerAddress(peer(1).peer, ()), NOW)
    assert store.peers() == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"version": 2}',
        b'{"version": 1}',
        b'{"version": 1, "peers": [{}]}',
        b'{"version": 1, "peers": 7}',
        b'{"version": 1, "peers": [{"id": "x", "addresses": ["y"], "seen": 1}]}',
        b'{"version": 1, "peers": [{"id": 1, "addresses": 2, "seen": "z"}]}',
        b"[" * 100_000,
        b" " * 2_000_000,
        b"\xff\xfe\x00",
    ],
)
def test_corrupt_file_is_put_aside(tmp_path, caplog, content):
    path = tmp_path / "peerstore"
    path.write_bytes(content)
    assert reloaded(path) == []
    assert "put aside" in caplog.text
    assert (tmp_path / "peerstore.corrupt").read_bytes() == content
    assert not path.exists()


def test_missing_file_is_no_trouble(tmp_path, caplog):
    assert reloaded(tmp_path / "peerstore") == []
    assert not caplog.text


def test_failing_write_is_logged_and_survived(tmp_path, caplog):
    store = PeerStore(tmp_path / "gone" / "peerstore")
    store.seen(peer(1), NOW)
    store.save()
    assert "cannot write the peer store" in caplog.text


def test_file_is_readable_json(tmp_path):
    store = PeerStore(tmp_path / "peerstore")
    store.seen(peer(1), NOW)
    store.save()
    entry = json.loads((tmp_path / "peerstore").read_text())["peers"][0]
    assert entry["addresses"] == ["/ip4/10.0.1.1/tcp/5001"]
