from __future__ import annotations

import pytest

from mirror.transfer.pace import Pace

WINDOW = 4.0
LEAST = 16 * 1024


def test_steady_body_is_good_for_ever() -> None:
    pace = Pace(WINDOW)
    assert all(pace.landed(LEAST // 2, WINDOW / 2) for _ in range(100))


def test_trickle_is_noticed() -> None:
    pace = Pace(WINDOW)
    assert [pace.landed(100, 1.0) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("before", [0.0, 0.1, 1.0, 1.9, 2.0, 3.0])
def test_early_bytes_do_not_excuse_a_later_trickle_for_longer_than_the_window(
    before: float,
) -> None:
    pace = Pace(WINDOW)
    assert pace.landed(100 * LEAST, before)
    assert not all(pace.landed(1, 0.1) for _ in range(int(WINDOW / 0.1)))


def test_body_is_not_slow_because_its_reader_is() -> None:
    pace = Pace(WINDOW)
    assert all(pace.landed(1, 0.0) for _ in range(1000))
