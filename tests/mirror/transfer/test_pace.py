from __future__ import annotations

from mirror.transfer.pace import Pace

WINDOW = 4.0
LEAST = 16 * 1024


def test_steady_body_is_good_for_ever() -> None:
    pace = Pace(WINDOW)
    assert all(pace.landed(LEAST, 1.0) for _ in range(100))


def test_trickle_is_noticed_at_the_end_of_its_window() -> None:
    pace = Pace(WINDOW)
    assert [pace.landed(100, 1.0) for _ in range(4)] == [True, True, True, False]


def test_early_bytes_do_not_excuse_a_later_trickle() -> None:
    pace = Pace(WINDOW)
    assert pace.landed(100 * LEAST, WINDOW)
    assert not pace.landed(1, WINDOW)


def test_body_is_not_slow_because_its_reader_is() -> None:
    pace = Pace(WINDOW)
    assert all(pace.landed(1, 0.0) for _ in range(1000))
