from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from p2p.wire.address import show_peer
from p2p.wire.identity import IdentityError, load_or_create

GO_PEM = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f
-----END PRIVATE KEY-----
"""


def write(path, key, form=serialization.PrivateFormat.PKCS8):
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )


def test_identity_outlives_a_restart_and_is_private(tmp_path):
    path = tmp_path / "new" / "peer.key"
    first = load_or_create(path)
    assert load_or_create(path).peer == first.peer
    assert path.stat().st_mode & 0o777 == 0o600
    assert show_peer(first.peer).startswith("12D3Koo")
    assert list(path.parent.iterdir()) == [path]


def test_key_of_spegel_is_taken(tmp_path):
    path = tmp_path / "peer.key"
    path.write_bytes(GO_PEM)
    assert show_peer(load_or_create(path).peer).startswith("12D3Koo")


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_key_of_k3s_is_taken(tmp_path, form):
    path = tmp_path / "peer.key"
    key = ec.generate_private_key(ec.SECP256R1())
    write(path, key, getattr(serialization.PrivateFormat, form))
    assert show_peer(load_or_create(path).peer).startswith("Qm")


def test_open_mode_is_closed(tmp_path, caplog):
    path = tmp_path / "peer.key"
    path.write_bytes(GO_PEM)
    path.chmod(0o644)
    load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "readable by others" in caplog.text


@pytest.mark.parametrize("content", [b"", b"nonsense", GO_PEM[:60], b"\x00" * 100_000])
def test_corrupt_key_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "peer.key"
    path.write_bytes(content)
    with pytest.raises(IdentityError, match=r"peer\.key.*restore it"):
        load_or_create(path)
    assert path.read_bytes() == content


def test_key_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "peer.key"
    write(path, rsa.generate_private_key(65537, 2048))
    with pytest.raises(IdentityError, match="another kind"):
        load_or_create(path)


def test_unusable_path_names_the_remedy(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(IdentityError, match="check the folder's owner"):
        load_or_create(tmp_path / "file" / "peer.key")


def test_nodes_starting_at_once_agree_on_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(load_or_create, [tmp_path / "peer.key"] * 8))
    assert len({identity.peer for identity in found}) == 1
