"""What happens to the programs of a node: the puller's agent and containerd, and the holder's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from tests.cluster import faults as links
from tests.cluster.node import Node
from tests.cluster.waiting import wait_until
from tests.faults.cell import PATIENT, PROMPT, Cell
from tests.faults.content import SIZES, Part
from tests.faults.scene import Scene
from tests.faults.scripts import Fault, halfway, when_asked

Deed = Callable[[Node], object]
"""Something done to a node's programs; may block."""

_MBIT = 200
"""Of the holder's link: 10 MiB take 0.4 s, in which something can happen."""

_BEGUN = 3 << 20


def kill_agent(node: Node) -> None:
    node.spegla.daemon.kill()


def restart_agent(node: Node) -> None:
    """As systemd does after a crash."""
    node.spegla.daemon.kill()
    node.spegla.start()


def update_agent(node: Node) -> None:
    """As an update does."""
    node.spegla.daemon.stop()
    node.spegla.start()


def stop_agent(node: Node) -> None:
    """A second without any CPU."""
    node.spegla.daemon.pause()
    time.sleep(1.0)
    node.spegla.daemon.resume()


def freeze_agent(node: Node) -> None:
    node.spegla.daemon.pause()


def stop_containerd(node: Node) -> None:
    node.containerd.daemon.pause()
    time.sleep(2.0)
    node.containerd.daemon.resume()


def restart_containerd(node: Node) -> None:
    node.containerd.daemon.stop()
    node.containerd.start()


def kill_containerd(node: Node) -> None:
    node.containerd.daemon.kill()
    node.containerd.start()


_AGENT: Mapping[str, Deed] = {
    "is killed": kill_agent,
    "is killed and started again": restart_agent,
    "is updated": update_agent,
    "is stopped for 1 s": stop_agent,
}

_STAGES: Mapping[str, tuple[Part, Callable[[Callable[[], object], Part], Fault]]] = {
    "when it asks for the tag": (Part.TAG, when_asked),
    "when it asks for the config": (Part.CONFIG, when_asked),
    "when it asks for a layer": (Part.LAYER, when_asked),
    "in mid-body of 64 KiB": (Part.LAYER, halfway),
    "when it asks for 10 MiB": (Part.LARGE, when_asked),
    "in mid-body of 10 MiB": (Part.LARGE, halfway),
}

_CONTAINERD: Mapping[str, Deed] = {
    "is stopped for 2 s": stop_containerd,
    "is restarted": restart_containerd,
    "is killed and started again": kill_containerd,
}


def agent(
    deed: Deed, part: Part, stage: Callable[[Callable[[], object], Part], Fault]
) -> Callable[[Scene], None]:
    """It happens to the puller's agent while a peer serves it."""

    def arrange(scene: Scene) -> None:
        action = scene.background(lambda: deed(scene.puller))
        scene.peer({part: stage(action, part)})

    return arrange


def before(deed: Deed) -> Callable[[Scene], object]:
    """It happens to the puller's agent before the pull."""
    return lambda scene: deed(scene.puller)


def containerd(deed: Deed, part: Part) -> Callable[[Scene], None]:
    """It happens to the puller's containerd in mid-body, with us or without."""

    def arrange(scene: Scene) -> None:
        scene.source({part: halfway(lambda: deed(scene.puller), part)})

    return arrange


def holder(deed: Callable[[Scene], object]) -> Callable[[Scene], None]:
    """It happens to the real node that serves the image, in mid-body of its large layer."""

    def arrange(scene: Scene) -> None:
        if not scene.mirrored:
            return
        space = scene.holder().space
        links.shape(scene.mended(space), _MBIT)
        start = links.sent_bytes(space)

        def meanwhile() -> None:
            wait_until("the body to begin", lambda: links.sent_bytes(space) - start > _BEGUN)
            deed(scene)

        scene.meanwhile(meanwhile)

    return arrange


def idle_holder(deed: Callable[[Scene], object], *, knows: bool) -> Callable[[Scene], None]:
    """It happens to the other real node before the pull, whether or not that has the image."""

    def arrange(scene: Scene) -> None:
        if scene.mirrored:
            if knows:
                scene.holder()
            deed(scene)

    return arrange


def delete(scene: Scene) -> None:
    """The image is removed; its content goes at once or a moment later."""
    scene.lab.holder.containerd.cri.remove(scene.content.image)


def drop(scene: Scene) -> None:
    links.drop(scene.mended(scene.lab.holder.space))


def to_holder(deed: Deed) -> Callable[[Scene], object]:
    """The deed, done to the holder."""
    return lambda scene: deed(scene.lab.holder)


_HOLDER: Mapping[str, tuple[Callable[[Scene], object], float]] = {
    "its agent is killed": (to_holder(kill_agent), PROMPT),
    "its agent is updated": (to_holder(update_agent), PROMPT),
    "its agent is stopped for good": (to_holder(freeze_agent), PATIENT),
    "its agent is stopped for 1 s": (to_holder(stop_agent), PATIENT),
    "its containerd is killed": (to_holder(kill_containerd), PROMPT),
    "the image is deleted": (delete, PROMPT),
    "it vanishes": (drop, PATIENT),
}


def cells() -> Iterator[Cell]:
    """All of them."""
    for name, deed in _AGENT.items():
        group = f"the puller's agent {name}"
        if name != "is stopped for 1 s":
            yield Cell(group, "just before", before(deed), reached=False)
        for moment, (part, stage) in _STAGES.items():
            large = part is Part.LARGE
            quick = name == "is killed" and "in mid-body of 10" in moment
            yield Cell(group, moment, agent(deed, part, stage), large=large, quick=quick)
    for name, deed in _CONTAINERD.items():
        for part in Part.LAYER, Part.LARGE:
            arrange = containerd(deed, part)
            group = "the puller's containerd, in mid-body"
            yield Cell(group, f"{name}, {SIZES[part]}", arrange, large=part is Part.LARGE)
    for name, (act, bound) in _HOLDER.items():
        quick = name == "its agent is killed"
        arrange = holder(act)
        group = "the holder, a real node, in mid-body of 10 MiB"
        yield Cell(group, name, arrange, bound, large=True, quick=quick, reached=False)
        yield Cell(
            "the holder, a real node, just before",
            name,
            idle_holder(act, knows=True),
            bound,
            reached=False,
        )
    for name in "its agent is stopped for good", "it vanishes":
        act, bound = _HOLDER[name]
        arrange = idle_holder(act, knows=False)
        group = "another node, which does not have the image"
        yield Cell(group, name, arrange, bound, reached=False)
