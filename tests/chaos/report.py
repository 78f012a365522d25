"""What a soak brought to light, as a table, and whether it is good."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.chaos.agreement import Agreement
from tests.chaos.plan import What
from tests.chaos.puller import Outcome, Pull
from tests.chaos.usage import Growth

LEAST_PULLS_PER_MINUTE = 10
JUDGED_MINUTES = 5.0
"""Shorter runs show what they use and are not judged by it: caches are still filling."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that is known at the end.

    Attributes:
        minutes: Length of the run.
        faults: How often each thing happened.
        pulls: Every pull.
        deletions: Images deleted.
        served: Requests of the spared nodes' containerds, by whether peers could serve them.
        starts: Seconds that agents took to be ready after they had ended.
        growth: Of the agents that lived from the start to the end, by node.
        agreement: Of the network with the stores.
        problems: What else went wrong.
    """

    minutes: float
    faults: Counter[What]
    pulls: Sequence[Pull]
    deletions: int
    served: Counter[str]
    starts: Sequence[float]
    growth: Mapping[str, Sequence[Growth]]
    agreement: Agreement
    problems: Sequence[str]

    def failures(self) -> list[str]:
        """Why the run is not good; empty when it is."""
        wrong = [f"pull on {p.node}: {p.said}" for p in self.pulls if p.outcome is Outcome.OURS]
        least = int(LEAST_PULLS_PER_MINUTE * self.minutes)
        if len(self.pulls) < least:
            wrong.append(f"only {len(self.pulls)} pulls, {least} show enough")
        if not self.served["hit"]:
            wrong.append("peers served nothing, so that the run shows nothing")
        if self.minutes >= JUDGED_MINUTES:
            wrong += [
                f"{node}: {grown.what} grew from {grown.early:.0f} to {grown.late:.0f}"
                for node, all_grown in self.growth.items()
                for grown in all_grown
                if grown.leaks
            ]
        agreement = self.agreement
        wrong += [f"not found: {pair}" for pair in agreement.missing[:10]]
        wrong += [f"found, not held: {pair}" for pair in agreement.stale[:10]]
        return [*wrong, *self.problems]

    def table(self) -> str:
        """The numbers, one a line."""
        outcomes = Counter(pull.outcome for pull in self.pulls)
        seconds = [pull.seconds for pull in self.pulls if pull.outcome is Outcome.GOOD] or [0.0]
        rows = [
            ("pulls", f"{len(self.pulls)}, {self.deletions} deletions"),
            ("failed by us", f"{outcomes[Outcome.OURS]}"),
            ("failed without us too", f"{outcomes[Outcome.EXCUSED]}"),
            ("seconds a pull", f"median {statistics.median(seconds):.1f}, max {max(seconds):.1f}"),
            ("served by peers", f"{self.served['hit']} of {self.served.total()} requests"),
            ("faults", f"{self.faults.total()}"),
            *((f"  {what.value}", f"{count}") for what, count in self.faults.most_common()),
        ]
        if self.starts:
            middle, longest = statistics.median(self.starts), max(self.starts)
            rows.append(("agent ready again", f"median {middle:.2f} s, max {longest:.2f} s"))
        for node, all_grown in self.growth.items():
            grown = ", ".join(f"{g.what} {g.early:.0f} -> {g.late:.0f}" for g in all_grown)
            rows.append((f"{node} early -> late", grown))
        found = self.agreement
        wrong = f"{len(found.missing)} not found, {len(found.stale)} found and not held"
        agreed = f"{found.compared} agree, {wrong}, after {found.seconds:.0f} s"
        rows.append(("network and stores", agreed))
        return "\n".join(f"{name:24} {value}" for name, value in rows)
