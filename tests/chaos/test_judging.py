"""What a soak calls good."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from mirror.oci.digest import Digest
from tests.chaos.agreement import Agreement, Store, compare
from tests.chaos.plan import ENDS_AGENT, faults
from tests.chaos.puller import Outcome, Pull
from tests.chaos.report import Report
from tests.chaos.usage import Growth, Sample, growth

ONE, TWO = Digest.of(b"1"), Digest.of(b"2")
NAMES = {"10.0.0.1": "n1", "10.0.0.2": "n2"}
AGREED = Agreement(8, [], [])


def report(
    pulls: list[Pull],
    minutes: float = 10.0,
    *,
    grown: float = 100.0,
    found: Agreement = AGREED,
    hits: int = 100,
) -> Report:
    rss = Growth("rss", 100.0, grown, 110.0)
    return Report(
        minutes=minutes,
        faults=Counter(),
        pulls=pulls,
        deletions=0,
        served=Counter(hit=hits, miss=10),
        starts=[0.5],
        growth={"n1": [rss]},
        agreement=found,
        problems=[],
    )


def pulls(outcome: Outcome, count: int = 100) -> list[Pull]:
    return [Pull("n1", outcome, 1.0, "no")] * count


def steady(pid: int = 1, rss: float = 100.0) -> list[Sample]:
    return [Sample(float(at), pid, rss, 60, 17, 90) for at in range(600)]


def test_the_same_seed_gives_the_same_faults_and_spares_whom_it_should() -> None:
    first, second = (list(islice(faults("7", (0, 1), frozenset({1})), 200)) for _ in range(2))
    assert first == second
    assert first != list(islice(faults("8", (0, 1), frozenset({1})), 200))
    assert any(fault.what in ENDS_AGENT for fault in first if fault.node == 0)
    assert not any(fault.what in ENDS_AGENT for fault in first if fault.node == 1)


def test_a_steady_agent_does_not_leak() -> None:
    assert not any(grown.leaks for grown in growth(steady(), 120.0, 60.0))


@pytest.mark.parametrize("field", ["rss", "descriptors", "threads", "tasks"])
def test_what_grows_leaks(field: str) -> None:
    def at(sample: Sample) -> Sample:
        values = {name: getattr(sample, name) for name in Sample.__slots__}
        return Sample(**{**values, field: int(getattr(sample, field) * (1 + sample.at / 1000))})

    grown = growth([at(sample) for sample in steady()], 120.0, 60.0)
    assert [one.what for one in grown if one.leaks] == [field]


def test_two_agents_are_not_compared() -> None:
    with pytest.raises(ValueError, match="one agent"):
        growth(steady(1)[:300] + steady(2)[300:], 120.0, 60.0)


def test_agreement_names_what_is_missing_and_what_is_stale() -> None:
    both, none = frozenset({ONE, TWO}), frozenset[Digest]()
    stores = {"10.0.0.1": Store(none, none), "10.0.0.2": Store(both - {TWO}, both)}
    found = {"10.0.0.1": {ONE: set[str](), TWO: {"10.0.0.2"}}, "10.0.0.2": {ONE: {"10.0.0.1"}}}
    result = compare(stores, found, NAMES, 1.0)
    # Two is held, though its registry is not known: it may be found and need not be.
    assert (result.compared, result.missing, result.stale) == (
        1,
        [f"n1 n2 {ONE}"],
        [f"n2 n1 {ONE}"],
    )


def test_a_good_run() -> None:
    assert report(pulls(Outcome.GOOD)).failures() == []


@pytest.mark.parametrize(
    "bad",
    [
        report([*pulls(Outcome.GOOD), *pulls(Outcome.OURS, 1)]),
        report(pulls(Outcome.GOOD, 99)),
        report(pulls(Outcome.GOOD), grown=111.0),
        report(pulls(Outcome.GOOD), found=Agreement(8, ["n1 n2 x"], [])),
        report(pulls(Outcome.GOOD), found=Agreement(8, [], ["n1 n2 x"])),
        report(pulls(Outcome.GOOD), hits=0),
    ],
    ids=["failed by us", "too few", "leak", "not found", "stale", "idle"],
)
def test_a_bad_run(bad: Report) -> None:
    assert len(bad.failures()) == 1


def test_pulls_that_fail_without_us_and_growth_in_a_short_run_are_shown_only() -> None:
    good = report([*pulls(Outcome.GOOD), *pulls(Outcome.EXCUSED, 3)], minutes=1.0, grown=200.0)
    assert good.failures() == []
    assert "100 -> 200" in good.table()
