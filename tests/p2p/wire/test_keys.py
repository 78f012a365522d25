import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from libp2p.crypto.serialization import deserialize_public_key

from p2p.wire.keys import EcdsaPublicKey, key_pair_from_pem, new_key_pem, teach_ecdsa


def ecdsa_pem(curve):
    return ec.generate_private_key(curve).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_library_reads_ecdsa_keys_once_taught():
    teach_ecdsa()
    pair = key_pair_from_pem(ecdsa_pem(ec.SECP256R1()))
    key = deserialize_public_key(pair.public_key.serialize())
    assert key == pair.public_key
    signature = pair.private_key.sign(b"data")
    assert key.verify(b"data", signature)
    assert not key.verify(b"other", signature)


def test_other_curves_are_refused():
    with pytest.raises(ValueError, match="another kind"):
        key_pair_from_pem(ecdsa_pem(ec.SECP384R1()))
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(ValueError, match="P-256"):
        EcdsaPublicKey.from_bytes(der)


def test_new_key_signs():
    pair = key_pair_from_pem(new_key_pem())
    assert pair.public_key.verify(b"data", pair.private_key.sign(b"data"))
