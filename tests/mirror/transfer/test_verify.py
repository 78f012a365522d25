from __future__ import annotations

import random

from mirror.oci.digest import Digest
from mirror.transfer.verify import Verifier

DATA = random.Random(1).randbytes(300_000)


def test_bytes_in_pieces_of_any_kind_match_their_digest() -> None:
    verifier = Verifier(Digest.of(DATA))
    verifier.feed(DATA[:1])
    verifier.feed(bytearray(DATA[1:100]))
    assert not verifier.matches()
    verifier.feed(memoryview(DATA)[100:])
    assert verifier.matches()


def test_one_wrong_bit_does_not_match() -> None:
    verifier = Verifier(Digest.of(DATA))
    verifier.feed(DATA[:-1] + bytes([DATA[-1] ^ 1]))
    assert not verifier.matches()


def test_nothing_is_the_content_of_nothing_only() -> None:
    assert Verifier(Digest.of(b"")).matches()
    assert not Verifier(Digest.of(DATA)).matches()
