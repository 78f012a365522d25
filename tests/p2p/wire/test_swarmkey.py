import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.wire.swarmkey import parse_psk

KEY = bytes(range(32))
HEADER = b"/key/swarm/psk/1.0.0/\n"


@pytest.mark.parametrize(
    "data",
    [
        HEADER + b"/base16/\n" + KEY.hex().encode() + b"\n",
        HEADER + b"/base16/\r\n" + KEY.hex().encode(),
        HEADER + b"/base64/\n" + base64.b64encode(KEY) + b"\n",
        HEADER + b"/bin/\n" + KEY,
        KEY.hex().encode() + b"\n",
        KEY,
        KEY + bytes(16),  # K3s has 48 bytes and takes the first 32
    ],
)
def test_forms_of_a_key(data):
    assert parse_psk(data) == KEY


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        HEADER,
        HEADER + b"/base32/\nAAAA",
        HEADER + b"/base16/\nxyz",
        HEADER + b"/base16/\n" + KEY.hex().encode()[:-2],
        HEADER + b"/base64/\n????",
        HEADER + b"/bin/\n" + KEY[:31],
    ],
)
def test_unusable_key_is_refused_without_showing_it(data):
    with pytest.raises(ValueError, match=r"pre-shared key|swarm\.key") as caught:
        parse_psk(data)
    assert KEY.hex()[:-2] not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_key_or_an_error(data):
    with contextlib.suppress(ValueError):
        assert len(parse_psk(data)) == 32
