from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from p2p.kad.ids import BITS, key_of, nearest, place_of, shared_bits, target_sharing

PLACES = st.integers(min_value=0, max_value=2**BITS - 1)


def test_a_key_is_the_multihash_that_spegel_makes_of_the_string():
    key = key_of("docker.io/library/x:1")
    assert key[:2] == b"\x12\x20"
    assert len(key) == 34
    assert key_of("docker.io/library/x:1") == key != key_of("docker.io/library/x:2")


def test_shared_bits_counts_from_the_top():
    assert shared_bits(0, 1 << 255) == 0
    assert shared_bits(0, 1) == 255
    assert shared_bits(7, 7) == 256


@given(places=st.sets(PLACES, max_size=200), place=PLACES, count=st.integers(1, 50))
def test_nearest_is_what_sorting_everything_gives(places, place, count):
    expected = sorted(places, key=lambda other: other ^ place)[:count]
    assert nearest(sorted(places), place, count) == expected


def test_nearest_in_crowded_corners_is_what_sorting_everything_gives():
    places = sorted({*range(40), *(2**BITS - 1 - n for n in range(40)), 1 << 255})
    for place in (0, 17, 1 << 255, 2**BITS - 1):
        expected = sorted(places, key=lambda other: other ^ place)[:20]
        assert nearest(places, place, 20) == expected


def test_a_target_shares_the_bits_it_should():
    random = Random(1)
    place = random.getrandbits(BITS)
    for bits in range(9):
        assert shared_bits(place_of(target_sharing(place, bits, random)), place) >= bits
