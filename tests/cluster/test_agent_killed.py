"""The agent dies at any moment of a pull: containerd goes on without it, and it is soon back."""

from __future__ import annotations

import random
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cluster import faults
from tests.cluster.conftest import Cluster, Push
from tests.cluster.containerd import Build
from tests.cluster.image import random_layer
from tests.cluster.node import start_at_once
from tests.cluster.waiting import wait_until

pytestmark = pytest.mark.cluster

MOMENTS = 20


def test_a_pull_succeeds_whenever_the_agent_is_killed_and_the_agent_is_soon_back(
    cluster: Cluster, build: Build, push: Push
) -> None:
    # Below and above the size up to which blobs are checked before their first byte is passed on.
    image = push("killed", [random_layer(mib, f"killed-{mib}") for mib in (1, 6, 12)])
    nodes = cluster.make(2, build)
    start_at_once(nodes)
    holder, puller = nodes
    holder.pull(image)
    wait_until("the holder to be known", lambda: puller.spegla.offers(image))
    for node in nodes:
        faults.shape(node.space, 300)  # 19 MiB take 0.5 s
    usual = puller.pull(image)
    choice = random.Random(1)
    unfinished = 0
    starts: list[float] = []

    with ThreadPoolExecutor(1) as pool:
        for number in range(MOMENTS):
            puller.containerd.cri.remove(image)
            wait_until("the content to be gone", lambda: not puller.containerd.blobs())
            pull = pool.submit(puller.pull, image)
            time.sleep(usual * (number + choice.random()) / MOMENTS)
            unfinished += not pull.done()
            puller.spegla.daemon.kill()
            pull.result()
            assert puller.containerd.wrong_blobs(image) == []
            began = time.monotonic()
            puller.spegla.start()
            starts.append(time.monotonic() - began)

    print(f"ready again: median {statistics.median(starts):.2f} s, longest {max(starts):.2f} s")
    assert unfinished >= MOMENTS / 2
    assert statistics.median(starts) <= 2.0
    assert max(starts) <= 10.0  # imports, on a machine that has other things to do
