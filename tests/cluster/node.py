"""A node of the cluster: a namespace, a containerd, a spegla agent."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.cluster.containerd import Containerd
from tests.cluster.image import Image
from tests.cluster.netns import Namespace
from tests.cluster.spegla import Spegla


@dataclass(frozen=True, slots=True)
class Node:
    """One machine. It starts with nothing running."""

    space: Namespace
    containerd: Containerd
    spegla: Spegla

    def start(self) -> None:
        """Starts containerd, then spegla, and waits until both are ready."""
        self.containerd.start()
        self.spegla.start()

    def kill(self) -> None:
        """The machine's programs are gone at once; its network says so to those who ask."""
        self.spegla.daemon.kill()
        self.containerd.daemon.kill()

    def pull(self, image: Image | str) -> float:
        """Pulls an image through CRI; returns the seconds."""
        return self.containerd.cri.pull(image)


def start_at_once(nodes: Sequence[Node]) -> None:
    """Starts several nodes at the same time, as after a power cut."""
    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(Node.start, nodes))


def pull_at_once(nodes: Sequence[Node], image: Image) -> list[float]:
    """Pulls an image on several nodes at the same time; returns each one's seconds."""
    with ThreadPoolExecutor(len(nodes)) as pool:
        return list(pool.map(lambda node: node.pull(image), nodes))
