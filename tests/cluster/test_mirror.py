"""Nodes that share what their containerds hold, with the upstream registry stopped."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from mirror.oci.digest import Digest
from tests.cluster import faults
from tests.cluster.conftest import Cluster, Push
from tests.cluster.containerd import Build, newest
from tests.cluster.image import REGISTRY, Image, random_layer
from tests.cluster.node import Node, pull_at_once, start_at_once
from tests.cluster.progress import Progress
from tests.cluster.registry import Registry
from tests.cluster.waiting import wait_until

pytestmark = pytest.mark.cluster


def requests(node: Node, cache: str) -> float:
    name = "spegel_mirror_requests_total"
    return node.spegla.metric(name, registry=REGISTRY, cache=cache)


def wait_for_offer(node: Node, image: Image) -> None:
    """Waits until a node's peers have told it who holds an image."""
    wait_until(f"{node.space.name} to offer {image.reference}", lambda: node.spegla.offers(image))


@pytest.mark.parametrize("tls", [False, True], ids=["http", "tls"])
def test_two_nodes_pull_by_tag_from_a_third_while_upstream_is_down(
    cluster: Cluster, build: Build, registry: Registry, push: Push, tls: bool
) -> None:
    image = push("large", [random_layer(64, f"large-{number}") for number in range(4)])
    nodes = cluster.make(3, build, tls=tls)
    start_at_once(nodes)
    started = [node.spegla.daemon.pid for node in nodes]
    holder, *others = nodes

    holder.pull(image)
    assert holder.containerd.wrong_blobs(image) == []
    assert holder.containerd.received_bytes() == image.size
    wait_for_offer(others[0], image)
    registry.stop()
    before = [(requests(node, "hit"), requests(node, "miss")) for node in others]
    seconds = pull_at_once(others, image)
    print(f"{image.size >> 20} MiB each: {', '.join(f'{took:.1f} s' for took in seconds)}")

    for node, (hit, miss) in zip(others, before, strict=True):
        assert node.containerd.cri.tags() == {image.reference}
        assert node.containerd.wrong_blobs(image) == []
        # The tag's HEAD, then a GET for each blob.
        assert requests(node, "hit") - hit == 1 + len(image.blobs)
        assert requests(node, "miss") == miss
    for node in nodes:
        address = node.space.ipv4
        mirror = f"{'https' if tls else 'http'}://{address}:6443/v2"
        messages = node.spegla.messages()
        start = f"Starting distributed registry mirror at {mirror} for registries [{REGISTRY}]"
        assert start in messages
        assert f"Starting distributed registry P2P node at {address}:5001" in messages
    assert [node.spegla.daemon.pid for node in nodes] == started
    assert all(node.spegla.daemon.alive for node in nodes)


def kill(node: Node) -> None:
    node.kill()


def drop(node: Node) -> None:
    faults.drop(node.space)


@pytest.mark.parametrize(
    ("fault", "longest_stall"), [(kill, 1.0), (drop, 6.0)], ids=["killed", "dropped"]
)
def test_a_pull_goes_on_when_the_serving_node_is_lost(
    cluster: Cluster,
    build: Build,
    registry: Registry,
    push: Push,
    fault: Callable[[Node], None],
    longest_stall: float,
) -> None:
    image = push("medium", [random_layer(32, f"medium-{number}") for number in range(4)])
    nodes = cluster.make(3, build)
    start_at_once(nodes)
    *holders, puller = nodes
    for holder in holders:
        holder.pull(image)
    wait_for_offer(puller, image)
    registry.stop()
    for node in nodes:
        faults.shape(node.space, 200)  # 128 MiB take 5.4 s

    with Progress(puller.containerd) as progress, ThreadPoolExecutor(1) as pool:
        pull = pool.submit(puller.pull, image)
        wait_until("a quarter to come", lambda: progress.received > image.size / 4)
        server = busiest(holders)
        assert not pull.done()
        moment = time.monotonic()
        fault(server)
        pull.result()

    assert puller.containerd.wrong_blobs(image) == []
    stall = progress.longest_stall(since=moment)
    print(f"longest stall: {stall:.2f} s")
    assert stall <= longest_stall


def busiest(nodes: list[Node]) -> Node:
    """The node that sends most just now."""
    before = [faults.sent_bytes(node.space) for node in nodes]
    time.sleep(0.2)
    sent = [
        faults.sent_bytes(node.space) - start for node, start in zip(nodes, before, strict=True)
    ]
    return nodes[sent.index(max(sent))]


def test_small_layers_hardly_wait_for_a_holder_that_has_vanished(
    cluster: Cluster, registry: Registry, push: Push
) -> None:
    with_it, without_it = (
        push(name, [random_layer(1 / 64, f"{name}-{number}") for number in range(20)])
        for name in ("small-a", "small-b")
    )
    nodes = cluster.make(3, newest())
    start_at_once(nodes)
    *holders, puller = nodes
    for holder, image in itertools.product(holders, (with_it, without_it)):
        holder.pull(image)
    wait_for_offer(puller, without_it)
    registry.stop()

    usual = puller.pull(with_it)
    faults.drop(holders[0].space)
    unusual = puller.pull(without_it)

    assert puller.containerd.wrong_blobs(without_it) == []
    print(f"20 layers: {usual:.2f} s, with a holder gone {unusual:.2f} s")
    assert unusual - usual <= 1.0


def test_a_node_that_joins_later_finds_what_was_there_before(
    cluster: Cluster, registry: Registry, push: Push
) -> None:
    image = push("tiny", [random_layer(1, "tiny")])
    early = cluster.make(3, newest())
    start_at_once(early)
    early[0].pull(image)
    wait_for_offer(early[1], image)
    registry.stop()

    [late] = cluster.make(1, newest())
    late.start()
    late.pull(image)

    assert late.containerd.wrong_blobs(image) == []


def test_a_node_that_leaves_is_no_longer_named_and_a_killed_one_delays_nobody(
    cluster: Cluster, registry: Registry, push: Push
) -> None:
    image = push("tiny", [random_layer(1, "tiny")])
    nodes = cluster.make(4, newest())
    start_at_once(nodes)
    leaving, dying, staying, asking = nodes
    for node in leaving, dying, staying:
        node.pull(image)
    key = str(image.layers[0])
    holders = {node.space.ipv4 for node in (leaving, dying, staying)}
    wait_until("all holders to be found", lambda: asking.spegla.holders(key) == holders)
    registry.stop()

    leaving.spegla.daemon.stop()
    time.sleep(1)
    assert asking.spegla.holders(key) == holders - {leaving.space.ipv4}

    dying.kill()
    nobody_has = [f"/v2/tiny/blobs/{Digest.of(bytes([number]))}" for number in range(30)]
    somebody_has = [f"/v2/tiny/blobs/{key}", f"/v2/tiny/manifests/{image.tag}"]
    answers = asking.spegla.head([*somebody_has, *nobody_has])
    assert [answer.status for answer in answers] == [200] * 2 + [404] * len(nobody_has)
    slowest = max(answer.seconds for answer in answers)
    print(f"slowest answer: {slowest * 1000:.0f} ms")
    assert slowest <= 0.25


def test_an_agent_shares_what_is_pulled_after_containerd_came_late(
    cluster: Cluster, build: Build, registry: Registry, push: Push
) -> None:
    image = push("tiny", [random_layer(1, "tiny")])
    holder, other = cluster.make(2, build)
    holder.spegla.daemon.start(lambda: holder.spegla.answers("/livez"))
    other.start()

    assert not holder.spegla.ready()
    holder.containerd.start()
    wait_until("the agent to be ready", holder.spegla.ready)
    holder.pull(image)
    wait_for_offer(other, image)
    registry.stop()
    other.pull(image)

    assert other.containerd.wrong_blobs(image) == []


def test_an_agent_shares_what_is_pulled_after_containerd_was_killed_and_restarted(
    cluster: Cluster, build: Build, registry: Registry, push: Push
) -> None:
    before = push("tiny", [random_layer(1, "tiny")])
    after = push("tiny-later", [random_layer(1, "tiny-later")])
    nodes = cluster.make(2, build)
    start_at_once(nodes)
    holder, other = nodes
    holder.pull(before)

    holder.containerd.daemon.kill()
    time.sleep(0.5)
    assert holder.spegla.daemon.alive
    holder.containerd.start()
    wait_until("the agent to be ready", holder.spegla.ready)
    holder.pull(after)
    wait_for_offer(other, after)
    registry.stop()
    other.pull(before)
    other.pull(after)

    assert other.containerd.wrong_blobs(before) == []
    assert other.containerd.wrong_blobs(after) == []
