"""Records of the DHT that lead to peers out of reach, or to peers that are of no use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.cluster import faults as links
from tests.cluster.netns import run
from tests.cluster.spegla import REGISTRY_PORT
from tests.faults.cell import PATIENT, Cell
from tests.faults.content import ALL, SIZES, Part
from tests.faults.peer_cells import ANSWERS, BODIES, LIES, alone, bound_of
from tests.faults.scene import Scene
from tests.faults.scripts import always, script
from tests.mirror.scripted_peer import answering, late

_LASTING = ("hangs in mid-body", "trickles 1 kB/s", "closes in mid-body", "sends a short body")
_MANY = 5


def refusing(scene: Scene) -> None:
    """A peer whose machine lives and whose registry does not."""
    if scene.mirrored:
        scene.register(scene.seat())


def dropping_syn(scene: Scene) -> None:
    """A peer behind a firewall that lets only the DHT through."""
    if scene.mirrored:
        seat = scene.seat()
        scene.register(seat)
        space = scene.mended(seat.space)
        enter = ["nsenter", f"--net=/run/netns/{space.name}", "iptables", "--wait", "5"]
        run([*enter, "-I", "INPUT", "-p", "tcp", "--dport", str(REGISTRY_PORT), "-j", "DROP"])


def vanished(scene: Scene) -> None:
    """A peer whose machine lost its power after it had said what it has."""
    if scene.mirrored:
        seat = scene.seat()
        scene.register(seat)
        links.drop(scene.mended(seat.space))


def gone(scene: Scene) -> None:
    """A peer at whose address there is nobody any more, not even for ARP."""
    if scene.mirrored:
        seat = scene.seat()
        scene.register(seat)
        seat.move(scene.lab.fresh_address())


def many(arrange: Callable[[Scene], object], *, good: bool) -> Callable[[Scene], None]:
    """Several such peers, and perhaps a good one."""

    def all_of_them(scene: Scene) -> None:
        if good:
            scene.good_peer()
        for _ in range(_MANY):
            arrange(scene)

    return all_of_them


def sick_each_in_its_way(part: Part) -> Callable[[Scene], None]:
    """Peers that keep silent, one of them only in mid-body."""

    def arrange(scene: Scene) -> None:
        scene.peer({part: BODIES["hangs in mid-body"]})
        for _ in range(_MANY - 1):
            scene.peer({part: ANSWERS["hangs before the headers"]})

    return arrange


def stale(scene: Scene) -> None:
    """A peer that has it no more."""
    scene.peer({ALL: always(answering(404))})


def liar(scene: Scene) -> None:
    """A peer whose bytes are wrong."""
    scene.peer({ALL: LIES["sends wrong bytes in the middle"]})


def records() -> Iterator[Cell]:
    """The DHT names peers that are of no use."""
    unreachable = {
        "refuses connections": refusing,
        "drops SYN": dropping_syn,
        "vanished": vanished,
        "left no trace at its address": gone,
    }
    for name, arrange in unreachable.items():
        quick = name == "vanished"
        yield Cell("the DHT", f"names one that {name}", arrange, reached=False, quick=quick)
    useless = unreachable | {"has it no more": stale, "lies": liar}
    for name, arrange in useless.items():
        for good in False, True:
            yield Cell(
                "the DHT",
                f"names {_MANY} of which each {name}" + (", and a good one" if good else ""),
                many(arrange, good=good),
                reached=False,
            )


def sick() -> Iterator[Cell]:
    """The DHT names peers each of which costs seconds."""
    for part in Part.LAYER, Part.LARGE:
        scenes = {
            f"each {name}": many(alone(part, (ANSWERS | BODIES)[name]), good=False)
            for name in ("hangs before the headers", "hangs in mid-body", "trickles 1 kB/s")
        }
        scenes["one hangs in mid-body, the others before the headers"] = sick_each_in_its_way(part)
        for name, arrange in scenes.items():
            yield Cell(
                "the DHT",
                f"names {_MANY} of which {name}, {SIZES[part]}",
                arrange,
                PATIENT,
                large=part is Part.LARGE,
            )


def in_a_long_pull(arrange: Callable[[Scene], object]) -> Callable[[Scene], None]:
    """The upstream takes its time, so that a peer is asked again and again."""

    def both(scene: Scene) -> None:
        scene.upstream_does(late(0.5, script(scene.content, {})))
        arrange(scene)

    return both


def long_pulls() -> Iterator[Cell]:
    """What one fault costs may not add up."""
    group = "20 layers, of an upstream that takes 0.5 s to answer, and a peer that"
    scenes = {
        "drops SYN": dropping_syn,
        "vanished": vanished,
        "answers 500": alone(ALL, ANSWERS["answers 500"]),
        **{name: alone(Part.LAYER, BODIES[name]) for name in _LASTING},
        "hangs before the headers": alone(Part.LAYER, ANSWERS["hangs before the headers"]),
    }
    for name, arrange in scenes.items():
        yield Cell(group, name, in_a_long_pull(arrange), bound_of(name), layers=20, reached=False)


def cells() -> Iterator[Cell]:
    """All of them."""
    yield from records()
    yield from sick()
    yield from long_pulls()
