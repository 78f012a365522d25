"""What the agents use: memory, descriptors, threads, tasks; and whether it grows."""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.subject import Subject

_INTERVAL = 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One agent at one moment.

    Attributes:
        at: Seconds since the start of the run.
        pid: Its process, which tells one agent from the next.
        rss: MiB.
        descriptors: Open ones.
        threads: Of the process.
        tasks: asyncio's and trio's together.
    """

    at: float
    pid: int
    rss: float
    descriptors: int
    threads: int
    tasks: int


@dataclass(frozen=True, slots=True)
class Growth:
    """The medians of two windows of time.

    Attributes:
        what: Name of a field of `Sample`.
        early: After the warm-up.
        late: At the end.
        limit: More than this at the end is a leak.
    """

    what: str
    early: float
    late: float
    limit: float

    @property
    def leaks(self) -> bool:
        """Whether it grew by more than is allowed."""
        return self.late > self.limit


class Usage:
    """Watches all agents."""

    def __init__(self, subjects: Sequence[Subject]) -> None:
        self._subjects = subjects
        self.samples: defaultdict[str, list[Sample]] = defaultdict(list)

    def run(self, ended: threading.Event) -> None:
        """Takes samples until `ended`."""
        start = time.monotonic()
        while not ended.wait(_INTERVAL):
            for subject in self._subjects:
                sample = _take(subject, time.monotonic() - start)
                if sample is not None:
                    self.samples[subject.name].append(sample)


def growth(samples: Sequence[Sample], warm_up: float, window: float) -> list[Growth]:
    """Compares the `window` seconds after the warm-up with the last ones.

    RSS may differ by 10 %. Descriptors, threads and tasks come and go with the load, so that their
    medians may differ by a few.

    Raises:
        ValueError: These are not the samples of one agent over all that time.
    """
    last = samples[-1].at
    early = [sample for sample in samples if warm_up <= sample.at < warm_up + window]
    late = [sample for sample in samples if sample.at > last - window]
    if not early or len({sample.pid for sample in early + late}) != 1:
        raise ValueError("not one agent over all the time")
    found = []
    for what, factor, slack in (
        ("rss", 1.1, 0.0),
        ("descriptors", 1.1, 8.0),
        ("threads", 1.0, 2.0),
        ("tasks", 1.1, 8.0),
    ):
        before, after = (
            statistics.median(getattr(sample, what) for sample in part) for part in (early, late)
        )
        found.append(Growth(what, before, after, before * factor + slack))
    return found


def _take(subject: Subject, at: float) -> Sample | None:
    """None while the agent is away or does not answer."""
    agent = subject.node.spegla
    process = Path(f"/proc/{agent.daemon.pid}")
    try:
        tasks = agent.tell("/status")["tasks"]
        status = dict(
            line.split(":\t", 1) for line in (process / "status").read_text().splitlines()
        )
        return Sample(
            at=at,
            pid=agent.daemon.pid,
            rss=int(status["VmRSS"].removesuffix("kB")) / 1024,
            descriptors=len(list((process / "fd").iterdir())),
            threads=int(status["Threads"]),
            tasks=tasks,
        )
    except (OSError, ValueError, KeyError):
        return None
