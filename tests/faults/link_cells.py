"""Links that fail and heal, and TLS that does not fit."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import trustme

from tests.cluster import faults as links
from tests.faults.cell import PATIENT, Cell
from tests.faults.content import SIZES, Part
from tests.faults.peer_cells import BODIES, LIES, alone, bound_of
from tests.faults.scene import Scene
from tests.faults.scripts import halfway
from tests.faults.seat import Connected

_BELOW_TLS = (
    "hangs in mid-body",
    "closes in mid-body",
    "resets in mid-body",
    "sends wrong bytes in the middle",
)


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
    yield from partitions()
    yield from tls()
