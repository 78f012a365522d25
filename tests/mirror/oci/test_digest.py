from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.digest import Digest, InvalidDigest

HEX = "0123456789abcdef" * 4


def test_digest_is_a_string_with_its_hex_part() -> None:
    digest = Digest.parse(f"sha256:{HEX}")
    assert digest == f"sha256:{HEX}"
    assert digest.hex == HEX


@pytest.mark.parametrize("data", [b"", bytearray(b"x"), memoryview(b"xyz")])
def test_digest_of_any_buffer(data: bytes) -> None:
    assert Digest.of(data).hex == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        "", HEX, "sha256:", f"sha256:{HEX[:-1]}", f"sha256:{HEX}0", f"sha256:{HEX.upper()}",
        f"sha512:{HEX}{HEX}", f"SHA256:{HEX}", f"sha256:{HEX}\n", f" sha256:{HEX}",
        f"sha256:{HEX[:-1]}\u0663", "sha256:../../../../etc/passwd",
    ],
)  # fmt: skip
def test_anything_but_lower_case_sha256_is_refused(text: str) -> None:
    with pytest.raises(InvalidDigest, match="invalid digest"):
        Digest.parse(text)


@given(st.text(max_size=300))
def test_message_of_a_refusal_stays_short(text: str) -> None:
    with pytest.raises(InvalidDigest) as refusal:
        Digest.parse(text)
    assert len(str(refusal.value)) < 1200


@given(st.binary(max_size=100))
def test_of_and_parse_agree(data: bytes) -> None:
    assert Digest.parse(str(Digest.of(data))) == Digest.of(data)
