from hypothesis import given
from hypothesis import strategies as st

from p2p.wire.xsalsa20 import xsalsa20


def test_vector_of_nacl():
    """First bytes of the key stream in NaCl's tests/stream4 (key and nonce of `firstkey`)."""
    key = bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389")
    nonce = bytes.fromhex("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37")
    assert xsalsa20(key, nonce).encrypt(bytes(32)).hex() == (
        "eea6a7251c1e72916d11c2cb214d3c252539121d8e234e652d651fa4c8cff880"
    )


@given(st.binary(max_size=1000), st.integers(1, 999))
def test_pieces_decrypt_what_was_encrypted_at_once(data, cut):
    sealed = xsalsa20(b"k" * 32, b"n" * 24).encrypt(data)
    opener = xsalsa20(b"k" * 32, b"n" * 24)
    assert opener.encrypt(sealed[:cut]) + opener.encrypt(sealed[cut:]) == data
