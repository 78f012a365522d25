from __future__ import annotations

from p2p.kad.absent import MAX_ABSENT, RETRY, SILENT, Absent
from p2p.kad.records import TTL


def test_a_silent_peer_is_absent_for_half_a_minute():
    absent = Absent()
    absent.silent(b"peer", 0.0)
    absent.sweep(SILENT - 1)
    assert b"peer" in absent
    absent.sweep(SILENT)
    assert b"peer" not in absent


def test_a_peer_that_left_stays_absent_as_long_as_records_live():
    absent = Absent()
    absent.gone(b"peer", 0.0)
    absent.silent(b"peer", 1.0)
    absent.sweep(TTL - 1)
    assert b"peer" in absent
    absent.back(b"peer")
    assert b"peer" not in absent


def test_only_so_many_are_remembered():
    absent = Absent()
    for number in range(MAX_ABSENT + 1):
        absent.silent(b"%d" % number, 0.0)
    assert b"0" not in absent
    assert b"1" in absent


def test_an_absent_peer_is_looked_at_again_now_and_then():
    absent = Absent()
    assert not absent.take_retry(b"peer", 0.0)
    absent.gone(b"peer", 0.0)
    times = [1.0, RETRY, RETRY + 1, 2 * RETRY]
    assert [absent.take_retry(b"peer", now) for now in times] == [False, True, False, True]
