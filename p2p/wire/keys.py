"""Identity keys: Ed25519 as Spegel has them, ECDSA P-256 as K3s's embedded Spegel has them.

py-libp2p knows no ECDSA identity and refuses the handshake of such a peer, so it is taught here.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.crypto.keys import KeyPair, KeyType, PrivateKey, PublicKey
from libp2p.crypto.serialization import key_type_to_public_key_deserializer

_SIGNATURE = ec.ECDSA(hashes.SHA256())


class EcdsaPublicKey(PublicKey):
    """A P-256 key; its bytes are PKIX DER and its signatures ASN.1, as in go-libp2p."""

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._key = key

    @classmethod
    def from_bytes(cls, data: bytes) -> EcdsaPublicKey:
        """Reads PKIX DER.

        Raises:
            ValueError: It is no P-256 key.
        """
        key = serialization.load_der_public_key(data)
        if not isinstance(key, ec.EllipticCurvePublicKey) or not _is_p256(key.curve):
            raise ValueError("the peer's ECDSA key is not on curve P-256")
        return cls(key)

    def to_bytes(self) -> bytes:
        """The key in PKIX DER."""
        return self._key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def get_type(self) -> KeyType:
        """ECDSA, number 3 of libp2p's key types."""
        return KeyType.ECDSA

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Whether `signature` over SHA-256 of `data` is this key's."""
        try:
            self._key.verify(signature, data, _SIGNATURE)
        except InvalidSignature:
            return False
        return True


class EcdsaPrivateKey(PrivateKey):
    """The private half of `EcdsaPublicKey`."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    def to_bytes(self) -> bytes:
        """The key in PKCS#8 DER."""
        return self._key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def get_type(self) -> KeyType:
        """ECDSA, number 3 of libp2p's key types."""
        return KeyType.ECDSA

    def sign(self, data: bytes) -> bytes:
        """Signs SHA-256 of `data`."""
        return self._key.sign(data, _SIGNATURE)

    def get_public_key(self) -> PublicKey:
        """The public half."""
        return EcdsaPublicKey(self._key.public_key())


def teach_ecdsa() -> None:
    """Lets the noise handshake read ECDSA identities, unless the library learned it by itself."""
    key_type_to_public_key_deserializer.setdefault(KeyType.ECDSA.value, EcdsaPublicKey.from_bytes)


def new_key_pem() -> bytes:
    """A fresh Ed25519 key in PKCS#8 PEM, what Spegel writes to `private.key`."""
    return ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def key_pair_from_pem(pem: bytes) -> KeyPair:
    """Reads an identity: Ed25519 in PKCS#8, or ECDSA P-256 in PKCS#8 or SEC 1.

    Raises:
        ValueError: It is no such key; the message says what was found.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise ValueError("not an unencrypted private key in PEM") from error
    if isinstance(key, ed25519.Ed25519PrivateKey):
        private: PrivateKey = Ed25519PrivateKey.from_bytes(key.private_bytes_raw())
    elif isinstance(key, ec.EllipticCurvePrivateKey) and _is_p256(key.curve):
        private = EcdsaPrivateKey(key)
    else:
        raise ValueError(f"a key of another kind ({type(key).__name__})")
    return KeyPair(private, private.get_public_key())


def _is_p256(curve: ec.EllipticCurve) -> bool:
    return isinstance(curve, ec.SECP256R1)
