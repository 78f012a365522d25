"""Peers out of reach, records that lead nowhere, links that fail, TLS that does not fit."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import trustme

from tests.cluster import faults as links
from tests.cluster.netns import run
from tests.cluster.spegla import REGISTRY_PORT
from tests.faults.cell import PATIENT, Cell
from tests.faults.content import ALL, SIZES, Part
from tests.faults.peer_cells import ANSWERS, BODIES, LIES, alone, bound_of
from tests.faults.scene import Scene
from tests.faults.scripts import always, halfway, script
from tests.faults.seat import Connected
from tests.mirror.scripted_peer import answering, late

_LASTING = ("hangs in mid-body", "trickles 1 kB/s", "closes in mid-body", "sends a short body")
_BELOW_TLS = (
    "hangs in mid-body",
    "closes in mid-body",
    "resets in mid-body",
    "sends wrong bytes in the middle",
)
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
        seat.move(scene.lab.fresh_number())


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


def cut_off(seconds: float | None) -> Callable[[Scene], None]:
    """The peer's link fails in mid-body, for a while or for good."""

    def arrange(scene: Scene) -> None:
        def fail() -> None:
            links.drop(scene.mended(seat.space))
            if seconds is not None:
                time.sleep(seconds)
                links.heal(seat.space)

        seat = scene.seat()
        scene.peer({Part.LARGE: halfway(fail, Part.LARGE)}, seat=seat)

    return arrange


def puller_cut_off(seconds: float) -> Callable[[Scene], None]:
    """The puller's own link fails in mid-body, for a while."""

    def arrange(scene: Scene) -> None:
        def fail() -> None:
            links.drop(scene.mended(scene.puller.space))
            time.sleep(seconds)
            links.heal(scene.puller.space)

        scene.source({Part.LARGE: halfway(fail, Part.LARGE)})

    return arrange


def partitions() -> Iterator[Cell]:
    """Links fail, and some heal."""
    group = "a link, in mid-body of 10 MiB"
    for name, arrange in {
        "the peer's fails for good": cut_off(None),
        "the peer's fails for 1 s": cut_off(1.0),
        "the puller's fails for 2 s": puller_cut_off(2.0),
    }.items():
        yield Cell(group, name, arrange, PATIENT, large=True)


def another_ca(_: Scene, address: str) -> ssl.SSLContext:
    """A certificate that somebody else signed."""
    return served(trustme.CA().issue_cert(address))


def another_address(scene: Scene, _: str) -> ssl.SSLContext:
    """A certificate for somebody else."""
    return served(scene.lab.ca.issue_cert("10.77.0.254"))


def expired(scene: Scene, address: str) -> ssl.SSLContext:
    """A certificate that ended yesterday."""
    start, end = (datetime.now(UTC) - timedelta(days=days) for days in (9, 1))
    return served(scene.lab.ca.issue_cert(address, not_before=start, not_after=end))


def served(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """A server's context that shows it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speaks no TLS."""
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the client's hello and is silent."""
    await reader.read(-1)
    writer.close()


async def closing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hangs up on everybody."""
    writer.close()


def with_port(connected: Connected) -> Callable[[Scene], None]:
    """A peer on whose port that happens."""

    def arrange(scene: Scene) -> None:
        if scene.mirrored:
            seat = scene.seat()
            seat.serve(connected, None)
            scene.register(seat)

    return arrange


def showing(make: Callable[[Scene, str], ssl.SSLContext]) -> Callable[[Scene], None]:
    """A peer that shows such a certificate, and is a good one else."""

    def arrange(scene: Scene) -> None:
        seat = scene.seat()
        scene.peer({}, seat=seat, tls=make(scene, seat.address))

    return arrange


def tls() -> Iterator[Cell]:
    """Nodes that speak TLS, with a peer that does it wrongly, or another fault below it."""
    group = "between nodes that speak TLS"
    doors = {
        "a certificate of another CA": showing(another_ca),
        "a certificate for another address": showing(another_address),
        "a certificate that has expired": showing(expired),
        "a peer that speaks no TLS": with_port(plain),
        "a peer that is silent in the handshake": with_port(mute),
        "a peer that hangs up in the handshake": with_port(closing),
    }
    for name, arrange in doors.items():
        yield Cell(group, name, arrange, secure=True, reached=False)
    for name in _BELOW_TLS:
        fault = (BODIES | LIES)[name]
        for part in Part.LAYER, Part.LARGE:
            large = part is Part.LARGE
            yield Cell(
                group,
                f"a peer that {name}, {SIZES[part]}",
                alone(part, fault),
                bound_of(name),
                large=large,
                secure=True,
                forced=large and name in LIES,
                quick=large and name == "resets in mid-body",
            )
    yield Cell("everything", "speaks TLS where nobody does", showing(expired), reached=False)


def cells() -> Iterator[Cell]:
    """All of them."""
    yield from records()
    yield from sick()
    yield from long_pulls()
    yield from partitions()
    yield from tls()
