"""XSalsa20, the stream cipher of libp2p's private networks.

py-libp2p's own private network uses Salsa20 with an 8-byte nonce, which neither Go nor JS speak.
"""

from __future__ import annotations

import struct
from typing import Protocol

from Crypto.Cipher import Salsa20

NONCE_BYTES = 24

_MASK = 0xFFFFFFFF
_SIGMA = struct.unpack("<4I", b"expand 32-byte k")
_ROUNDS = (
    (0, 4, 8, 12),
    (5, 9, 13, 1),
    (10, 14, 2, 6),
    (15, 3, 7, 11),
    (0, 1, 2, 3),
    (5, 6, 7, 4),
    (10, 11, 8, 9),
    (15, 12, 13, 14),
)
_OUTPUT = (0, 5, 10, 15, 6, 7, 8, 9)


class StreamCipher(Protocol):
    """Adds the next bytes of a key stream; encryption and decryption are the same."""

    def encrypt(self, plaintext: bytes) -> bytes:
        """The next bytes, with the key stream added."""
        ...


def xsalsa20(key: bytes, nonce: bytes) -> StreamCipher:
    """The cipher for a 32-byte key and a 24-byte nonce (Bernstein, Extending the Salsa20 nonce)."""
    cipher: StreamCipher = Salsa20.new(key=_hsalsa20(key, nonce[:16]), nonce=nonce[16:])
    return cipher


def _hsalsa20(key: bytes, nonce: bytes) -> bytes:
    k, n = struct.unpack("<8I", key), struct.unpack("<4I", nonce)
    x = [_SIGMA[0], *k[:4], _SIGMA[1], *n, _SIGMA[2], *k[4:], _SIGMA[3]]
    for _ in range(10):
        for a, b, c, d in _ROUNDS:
            x[b] ^= _rotate(x[a] + x[d], 7)
            x[c] ^= _rotate(x[b] + x[a], 9)
            x[d] ^= _rotate(x[c] + x[b], 13)
            x[a] ^= _rotate(x[d] + x[c], 18)
    return struct.pack("<8I", *(x[i] for i in _OUTPUT))


def _rotate(value: int, by: int) -> int:
    value &= _MASK
    return (value << by | value >> (32 - by)) & _MASK
