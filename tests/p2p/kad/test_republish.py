from __future__ import annotations

from collections import Counter

from p2p.kad.ids import key_of
from p2p.kad.republish import INTERVAL, SLICES, OwnKeys

KEYS = [key_of(str(number)) for number in range(1000)]


def test_keys_are_a_set():
    own = OwnKeys(0.0, 0.0)
    assert own.add([KEYS[0], KEYS[0], KEYS[1]]) == KEYS[:2]
    assert own.add(KEYS[:3]) == [KEYS[2]]
    assert own.remove([KEYS[0], KEYS[9]]) == [KEYS[0]]
    assert set(own) == set(KEYS[1:3])
    assert len(own) == 2
    assert KEYS[0] not in own


def test_every_key_comes_due_once_a_round_in_small_parts():
    own = OwnKeys(0.3, 50.0)
    own.add(KEYS)
    due = [own.due(50.0 + second) for second in range(int(INTERVAL) + 1)]
    assert Counter(key for keys in due for key in keys) == Counter(KEYS)
    assert max(map(len, due)) < 4 * len(KEYS) / SLICES


def test_a_key_comes_due_within_the_interval_whenever_it_was_added():
    own, late = OwnKeys(0.7, 0.0), 0
    added: dict[bytes, float] = {}
    for second in range(0, 3 * int(INTERVAL), 10):
        key = key_of(f"at {second}")
        own.add([key])
        added[key] = second
        for due in own.due(second):
            late = max(late, second - added[due])
            added[due] = second
    assert late <= INTERVAL + 10


def test_nothing_comes_twice_after_a_long_sleep():
    own = OwnKeys(0.0, 0.0)
    own.add(KEYS)
    assert sorted(own.due(10 * INTERVAL)) == sorted(KEYS)
    assert own.due(10 * INTERVAL) == []
