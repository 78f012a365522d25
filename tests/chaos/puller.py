"""Pulls and deletions on one node, and whose fault it is when a pull fails."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import grpc

from tests.chaos.subject import Subject
from tests.cluster.cri import PullFailed
from tests.cluster.image import Image

PULL_SECONDS = 60.0
"""A pull that takes longer has failed: kubelet would wait, its user would not."""

_REST = 1.0


class Outcome(Enum):
    """How a pull ended."""

    GOOD = "good"
    EXCUSED = "excused"
    """It failed, and would have without us: its containerd died, or a direct pull fails too."""

    OURS = "ours"
    """It failed, and a direct pull of the same image works."""


@dataclass(frozen=True, slots=True)
class Pull:
    """One pull: on which node, how it ended, after how many seconds, and what containerd said."""

    node: str
    outcome: Outcome
    seconds: float
    said: str = ""


class Puller:
    """Pulls what its node lacks and deletes what it has, at random."""

    def __init__(
        self,
        subject: Subject,
        images: Sequence[Image],
        choice: random.Random,
        say: Callable[[str], None],
    ) -> None:
        self._subject = subject
        self._images = images
        self._choice = choice
        self._say = say
        self.pulls: list[Pull] = []
        self.deletions = 0

    def run(self, ended: threading.Event) -> None:
        """Works until `ended`; the pull under way then is brought to its end."""
        cri = self._subject.node.containerd.cri
        while not ended.is_set():
            image = self._choice.choice(self._images)
            try:
                if image.reference in cri.tags():
                    cri.remove(image)
                    self.deletions += 1
                else:
                    self.pulls.append(self._pull(image))
            except grpc.RpcError:
                ended.wait(0.2)  # containerd is away; that it cannot delete is not our matter
            ended.wait(self._choice.uniform(0.0, _REST))

    def _pull(self, image: Image) -> Pull:
        subject = self._subject
        began = time.monotonic()
        try:
            seconds = subject.node.containerd.cri.pull(image, PULL_SECONDS)
        except PullFailed as error:
            seconds, said = time.monotonic() - began, str(error)
        else:
            return Pull(subject.name, Outcome.GOOD, seconds)
        if not subject.had_containerd(began):
            return Pull(subject.name, Outcome.EXCUSED, seconds, said)
        outcome = self._judge(image)
        self._say(f"{subject.name}: pull failed ({outcome.value}): {said}")
        return Pull(subject.name, outcome, seconds, said)

    def _judge(self, image: Image) -> Outcome:
        for _ in range(3):
            began = time.monotonic()
            try:
                self._subject.pull_directly(image.reference, PULL_SECONDS)
            except PullFailed:
                if self._subject.had_containerd(began):
                    return Outcome.EXCUSED
            else:
                return Outcome.OURS
        return Outcome.EXCUSED
