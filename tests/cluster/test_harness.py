"""The harness itself, and how containerd does without a mirror."""

from __future__ import annotations

import threading
import time

import pytest

from tests.cluster import faults
from tests.cluster.conftest import Cluster, Push
from tests.cluster.containerd import Build, newest
from tests.cluster.cri import PullFailed
from tests.cluster.image import busybox_layer, random_layer
from tests.cluster.progress import Progress
from tests.cluster.registry import Registry

pytestmark = pytest.mark.cluster


def test_containerd_pulls_straight_from_the_registry(
    cluster: Cluster, build: Build, registry: Registry, push: Push
) -> None:
    image = push("direct", [busybox_layer(), random_layer(4, "direct")])
    [node] = cluster.make(1, build)
    node.containerd.use_registry_directly()
    node.containerd.start()
    before = registry.sent_bytes(image)

    node.pull(image)

    assert node.containerd.wrong_blobs(image) == []
    assert node.containerd.cri.tags() == {image.reference}
    assert registry.sent_bytes(image) - before == image.size

    node.containerd.cri.remove(image)
    registry.stop()
    with pytest.raises(PullFailed, match="refused"):
        node.pull(image)


def test_dropped_traffic_shows_as_a_stall(cluster: Cluster, push: Push) -> None:
    image = push("stall", [random_layer(16, "stall")])
    [node] = cluster.make(1, newest())
    node.containerd.use_registry_directly()
    node.containerd.start()
    faults.shape(node.space, 100)  # 16 MiB take 1.4 s

    with Progress(node.containerd) as progress:
        pull = threading.Thread(target=node.pull, args=(image,))
        pull.start()
        time.sleep(0.5)
        start = time.monotonic()
        faults.drop(node.space)
        time.sleep(1)
        faults.heal(node.space)
        pull.join()

    assert progress.received == image.size
    assert progress.longest_stall(since=start) > 0.9
    assert faults.sent_bytes(node.space) > 0
