from __future__ import annotations

import pytest

from mirror.transfer.pace import Pace

WINDOW = 4.0
RATE = 16 * 1024


def test_steady_body_is_good_for_ever() -> None:
    pace = Pace(WINDOW)
    for _ in range(100):
        pace.landed(3 * RATE, 3.0)
        assert pace.left == pytest.approx(WINDOW)


@pytest.mark.parametrize("interval", [0.1, 1.0, 1.9, 3.9])
def test_trickle_is_noticed_little_later_than_silence_whatever_came_before(interval: float) -> None:
    pace = Pace(WINDOW)
    pace.landed(100 * RATE, 1.0)
    waited = 0.0
    while pace.left > interval:
        waited += interval
        pace.landed(int(1000 * interval), interval)
    assert waited + pace.left < 1.1 * WINDOW


def test_body_is_not_slow_because_its_reader_is() -> None:
    pace = Pace(WINDOW)
    for _ in range(1000):
        pace.landed(1, 0.0)
    assert pace.left == WINDOW


def test_nothing_is_left_when_more_was_waited() -> None:
    pace = Pace(WINDOW)
    pace.landed(0, WINDOW + 1)
    assert pace.left == 0
