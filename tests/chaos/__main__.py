"""`python -m tests.chaos`: runs a soak and prints what came of it; see `tests/soak`."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path

import trustme

from tests.chaos.agreement import settle
from tests.chaos.plan import What, faults
from tests.chaos.puller import Puller
from tests.chaos.report import Report
from tests.chaos.subject import Subject
from tests.chaos.usage import Growth, Sample, Usage, growth
from tests.cluster.conftest import Cluster
from tests.cluster.containerd import debian, newest
from tests.cluster.faults import shape
from tests.cluster.image import Image, make_image, random_layer
from tests.cluster.netns import Network
from tests.cluster.node import start_at_once
from tests.cluster.registry import Registry
from tests.cluster.workspace import Workspace, sweep

NODES = 5
IMAGES = 8
LANES = ((0, 1, 2), (3, 4))
"""Faults come side by side, one at a time in each of these groups of nodes."""

SPARED = frozenset({2, 4})
"""Nodes whose agents are never ended, so that leaks would show: one with each containerd."""

LINK_MBIT = 200
WARM_UP = 120.0
WINDOW = 60.0
GRACE = 60.0


class Soak:
    """One run."""

    def __init__(self, workspace: Workspace, seed: int) -> None:
        """Makes nodes, images and the upstream, and starts all."""
        network = Network(workspace.tag, workspace.folder)
        spaces = [network.add(f"n{number}", number) for number in range(1, NODES + 1)]
        self._registry = Registry(network.add("reg", 100), workspace.folder / "registry")
        self._registry.start()
        self._images = [self._push(workspace, number) for number in range(IMAGES)]
        cluster = Cluster(spaces, workspace, trustme.CA())
        for number in range(NODES):
            cluster.make(1, debian() if number % 4 == 0 else newest())
        start_at_once(cluster.nodes)
        for space in spaces:
            shape(space, LINK_MBIT)
        self.subjects = [
            Subject(f"n{number + 1}", node, number in SPARED)
            for number, node in enumerate(cluster.nodes)
        ]
        self._usage = Usage(self.subjects)
        self._seed = seed
        self._faults: Counter[What] = Counter()
        self._began = time.monotonic()

    def run(self, seconds: float) -> Report:
        """Lets it all happen for that long, then waits for calm and compares."""
        pullers = [
            Puller(subject, self._images, random.Random(f"{self._seed} {subject.name}"), self._say)
            for subject in self.subjects
        ]
        ended = threading.Event()
        with ThreadPoolExecutor(NODES + len(LANES) + 1) as pool:
            self._began = time.monotonic()
            jobs = [pool.submit(self._usage.run, ended)]
            jobs += [pool.submit(puller.run, ended) for puller in pullers]
            jobs += [pool.submit(self._befall, lane, ended) for lane in LANES]
            try:
                while (left := self._began + seconds - time.monotonic()) > 0:
                    if any(job.done() for job in jobs):
                        break  # it failed, as none ends of itself
                    time.sleep(min(left, 1.0))
            finally:
                ended.set()
            for job in jobs:
                job.result()
        digests = sorted({digest for image in self._images for digest in image.blobs})
        return Report(
            minutes=seconds / 60,
            faults=self._faults,
            pulls=[pull for puller in pullers for pull in puller.pulls],
            deletions=sum(puller.deletions for puller in pullers),
            served=self._served(),
            starts=[start for subject in self.subjects for start in subject.starts],
            growth=self._growth(seconds),
            agreement=settle(self.subjects, digests, GRACE),
            problems=[problem for subject in self.subjects for problem in subject.problems],
        )

    def save_logs(self, folder: Path) -> None:
        """Copies what all programs have said, and writes down what the agents used."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, samples in self._usage.samples.items():
            lines = [",".join(str(value) for value in astuple(sample)) for sample in samples]
            (folder / f"{name}-usage.csv").write_text(
                "\n".join([",".join(Sample.__slots__), *lines])
            )
        for subject in self.subjects:
            for daemon in subject.node.spegla.daemon, subject.node.containerd.daemon:
                shutil.copy(daemon.log, folder / f"{subject.name}-{daemon.log.name}")

    def _push(self, workspace: Workspace, number: int) -> Image:
        own = [random_layer(mib, f"soak-{number}-{mib}") for mib in (1 / 64, 1, 6, 16)]
        # One layer is in all images, so that a deletion takes only part of an image away.
        layers = [random_layer(2, "soak-shared"), *own]
        image = make_image(workspace.folder, f"soak-{number}", layers)
        self._registry.push(image)
        return image

    def _befall(self, lane: Sequence[int], ended: threading.Event) -> None:
        for fault in faults(f"{self._seed} {lane}", lane, SPARED):
            if ended.wait(fault.pause):
                return
            subject = self.subjects[fault.node]
            self._say(f"{subject.name}: {fault.what.value}, {fault.lasts:.1f} s")
            self._faults[fault.what] += 1
            subject.suffer(fault, ended)

    def _served(self) -> Counter[str]:
        agents = [subject.node.spegla for subject in self.subjects if subject.spared]
        return Counter(
            {
                cache: sum(
                    int(agent.metric("spegel_mirror_requests_total", cache=cache))
                    for agent in agents
                )
                for cache in ("hit", "miss")
            }
        )

    def _growth(self, seconds: float) -> dict[str, list[Growth]]:
        return {
            subject.name: growth(
                self._usage.samples[subject.name],
                min(WARM_UP, seconds / 5),
                min(WINDOW, seconds / 5),
            )
            for subject in self.subjects
            if subject.spared
        }

    def _say(self, what: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {what}", flush=True)


def main() -> int:
    """Runs a soak; 0 when it is good."""
    parser = argparse.ArgumentParser(prog="sh tests/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--logs", type=Path, help="folder for all logs and what the agents used")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.minutes:g} minutes, {NODES} nodes", flush=True)
    sweep()
    with Workspace() as workspace:
        soak = Soak(workspace, options.seed)
        try:
            report = soak.run(options.minutes * 60)
        finally:
            if options.logs is not None:
                soak.save_logs(options.logs)
    print(f"\nseed {options.seed}\n{report.table()}")
    failures = report.failures()
    for failure in failures:
        print(f"FAILED: {failure}")
    print("good" if not failures else f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
