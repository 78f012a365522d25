from __future__ import annotations

from mirror.transfer.stalls import Stalls

NOW = 1000.0


def test_stalls_are_counted_by_key_until_the_last_is_old() -> None:
    stalls = Stalls()
    stalls.add("a", NOW)
    stalls.add("a", NOW + 9)
    stalls.add("b", NOW + 9)
    assert [stalls.count(key, NOW + 18) for key in "abc"] == [2, 1, 0]
    assert stalls.count("a", NOW + 19) == 0
    stalls.add("a", NOW + 20)
    assert stalls.count("a", NOW + 20) == 1


def test_only_so_many_keys_are_remembered() -> None:
    stalls = Stalls()
    for number in range(2000):
        stalls.add(str(number), NOW)
    assert stalls.count("0", NOW) == 0
    assert stalls.count("1999", NOW) == 1
