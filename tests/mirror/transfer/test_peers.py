from __future__ import annotations

import pytest

from mirror.transfer.peers import Fault, PeerBook

NOW = 1000.0


@pytest.fixture
def book() -> PeerBook:
    return PeerBook()


def test_unknown_peer_is_usable(book: PeerBook) -> None:
    assert book.usable("a", "key", NOW)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.UNREACHABLE, [1, 2, 4, 8, 16, 32, 60, 60]),
        (Fault.BROKEN, [1, 2, 4, 8, 16, 32, 60, 60]),
        (Fault.STALLED, [10, 20, 40, 60, 60, 60, 60, 60]),
    ],
)
def test_faults_in_a_row_shun_for_twice_as_long_each_up_to_a_minute(
    book: PeerBook, fault: Fault, expected: list[float]
) -> None:
    spans = []
    for _ in expected:
        book.failed("a", fault, NOW)
        assert not book.usable("a", "any", NOW)
        spans.append(book.get("a").shunned_until - NOW)
    assert spans == expected
    assert book.usable("a", "any", NOW + 60)


def test_wrong_bytes_shun_for_a_minute_at_once(book: PeerBook) -> None:
    book.failed("a", Fault.WRONG_BYTES, NOW)
    assert not book.usable("a", "key", NOW + 59)
    assert book.usable("a", "key", NOW + 60)


def test_lesser_fault_does_not_shorten_a_shun(book: PeerBook) -> None:
    book.failed("a", Fault.WRONG_BYTES, NOW)
    book.failed("a", Fault.UNREACHABLE, NOW)
    assert not book.usable("a", "key", NOW + 59)


def test_answer_that_was_under_way_does_not_lift_a_shun(book: PeerBook) -> None:
    book.failed("a", Fault.WRONG_BYTES, NOW)
    book.answered("a", 0.01)
    book.proved("a")
    assert not book.usable("a", "key", NOW + 59)


def test_answer_alone_does_not_forgive_faults_but_a_finished_body_does(book: PeerBook) -> None:
    for _ in range(3):
        book.failed("a", Fault.BROKEN, NOW)
    book.answered("a", 0.01)
    assert book.get("a").faults == 3
    book.proved("a")
    book.failed("a", Fault.BROKEN, NOW + 60)
    assert book.usable("a", "key", NOW + 61)


def test_absence_is_remembered_for_that_key_and_two_seconds(book: PeerBook) -> None:
    book.absent("a", "key", NOW)
    assert not book.usable("a", "key", NOW + 1.9)
    assert book.usable("a", "other", NOW)
    assert book.usable("b", "key", NOW)
    assert book.usable("a", "key", NOW + 2)


def test_best_is_not_suspect_then_idle_then_quick(book: PeerBook) -> None:
    for address, latency in (("quick", 0.001), ("slow", 0.5), ("busy", 0.001), ("silent", 0.001)):
        book.answered(address, latency)
    book.get("busy").running = 2
    book.slow("silent", NOW)
    unsorted = ["silent", "busy", "slow", "quick", "new"]
    assert book.rank(unsorted, NOW) == ["quick", "new", "slow", "busy", "silent"]
    book.answered("silent", 0.001)
    assert book.rank(["slow", "silent"], NOW) == ["silent", "slow"]


def test_suspicion_passes(book: PeerBook) -> None:
    book.slow("a", NOW)
    assert book.hedge_after("a", NOW) == 0.0
    assert book.hedge_after("a", NOW + 2) > 0.0
    assert book.usable("a", "key", NOW)


@pytest.mark.parametrize(("latency", "hedge"), [(0.001, 0.08), (0.05, 0.2), (3.0, 0.5)])
def test_hedge_follows_the_usual_latency_within_bounds(
    book: PeerBook, latency: float, hedge: float
) -> None:
    assert book.hedge_after("new", NOW) == pytest.approx(0.08)
    book.answered("a", latency)
    assert book.hedge_after("a", NOW) == pytest.approx(hedge)


def test_latency_and_throughput_are_smoothed(book: PeerBook) -> None:
    for seconds in (1.0, 2.0):
        book.answered("a", seconds)
        book.delivered("a", 100, seconds)
    assert book.get("a").latency == pytest.approx(1.3)
    assert book.get("a").throughput == pytest.approx(85.0)
    book.delivered("b", 100, 0.0)
    assert book.get("b").throughput is None


def test_book_is_bounded(book: PeerBook) -> None:
    for number in range(10_100):
        book.get(str(number))
    assert len(book) == len(book.all()) == 10_000
    for number in range(20_100):
        book.absent("a", str(number), NOW)
    assert book.usable("a", "0", NOW)
    assert not book.usable("a", "20099", NOW)


def test_only_a_peer_that_kept_silent_has_less_time_to_answer_until_it_did_well(
    book: PeerBook,
) -> None:
    book.failed("a", Fault.BROKEN, NOW)
    assert book.trial("a") is None
    book.failed("a", Fault.STALLED, NOW)
    assert book.trial("a") == 0.15
    book.answered("a", 0.2)
    assert book.trial("a") == 0.8
    book.proved("a")
    assert book.trial("a") is None
