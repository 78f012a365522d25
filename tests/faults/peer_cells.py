"""A peer that says it has the image and misbehaves, beside an upstream as it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from mirror.oci.digest import Digest
from tests.faults.cell import PATIENT, PROMPT, Cell
from tests.faults.content import ALL, Part
from tests.faults.scene import Scene
from tests.faults.scripts import (
    Fault,
    always,
    chunked,
    cut_then,
    lying,
    of_half,
    promised,
    ranged,
    resetting,
    sized,
    trickling,
)
from tests.mirror.scripted_peer import (
    answering,
    cut_after,
    hanging_after,
    hanging_up,
    holding,
    raw,
    silent,
)

_ELSEWHERE = "http://10.77.0.100:5000/v2/"
_WRONG = Digest.of(b"something else")

ANSWERS: dict[str, Fault] = {
    **{f"answers {status}": always(answering(status)) for status in (401, 404, 429, 500, 503)},
    "redirects": always(answering(307, Location=_ELSEWHERE)),
    "hangs before the headers": always(silent),
    "hangs up without an answer": always(hanging_up),
    "resets without an answer": always(resetting),
    "answers with something else than HTTP": always(raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")),
    "answers with headers without end": always(raw(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 10_000)),
}
"""Faults instead of an answer."""

BODIES: dict[str, Fault] = {
    "hangs in mid-body": of_half(hanging_after),
    "trickles 1 kB/s": trickling,
    "closes before the body": lambda data: cut_after(data, 0),
    "closes in mid-body": of_half(cut_after),
    "closes before the last byte": lambda data: cut_after(data, len(data) - 1),
    "resets before the body": lambda data: cut_after(data, 0, reset=True),
    "resets in mid-body": of_half(partial(cut_after, reset=True)),
    "resets before the last byte": lambda data: cut_after(data, len(data) - 1, reset=True),
    "sends a short body": sized(-10),
    "sends a long body": sized(10),
    "sends an empty body": lambda data: holding(b"", Docker_Content_Digest=Digest.of(data)),
    "sends less than Content-Length": promised(10),
    "sends more than Content-Length": promised(-10),
    "sends no Content-Length": chunked,
    "names a wrong digest": lambda data: holding(data, Docker_Content_Digest=Digest.of(b"")),
    "names no digest": lambda data: holding(data, Docker_Content_Digest=""),
}
"""Faults of an answer that begins well."""

LIES: dict[str, Fault] = {
    "sends wrong bytes at the start": lying(0),
    "sends wrong bytes in the middle": lying(2),
    "sends wrong bytes at the end": lying(4),
}
"""Wrong bytes, which nothing but the digest tells."""

RANGES: dict[str, Fault] = {
    "another range than asked for": ranged("bytes 0-{last}/{size}"),
    "a range without Content-Range": ranged(""),
    "a Content-Range of nonsense": ranged("bytes 9-1/x"),
    "the whole for a range": ranged("", status=200),
    "416 for a range": always(answering(416)),
    "a range with wrong bytes": lying(3),
}
"""Faults of the answer to a range, which a peer is asked for when another one failed."""

MANIFESTS: dict[str, Fault] = {
    "a manifest that is none": lambda data: holding(b"[]" * 200),
    "a manifest without a digest": lambda data: holding(data, Docker_Content_Digest=""),
    "a manifest with a wrong digest": lambda data: holding(data, Docker_Content_Digest=_WRONG),
    "a manifest of 6 MiB": lambda data: holding(data + b" " * (6 << 20)),
    "half of a manifest": of_half(cut_after),
    "half of a manifest and hangs": of_half(hanging_after),
    "a manifest with wrong bytes": lying(2),
}
"""Faults of the manifest."""

_SLOW = ("hangs", "trickles")
_QUICK = (
    "answers 404",
    "answers 500",
    "closes in mid-body",
    "resets in mid-body",
    "sends wrong bytes in the middle",
)


def bound_of(name: str) -> float:
    """What a fault of that name may cost."""
    return PATIENT if any(word in name for word in _SLOW) and "hangs up" not in name else PROMPT


def alone(parts: Part, fault: Fault) -> Callable[[Scene], object]:
    """A scene whose one peer has this fault."""
    return lambda scene: scene.peer({parts: fault})


def beside_a_good_one(parts: Part, fault: Fault) -> Callable[[Scene], object]:
    """A scene with a peer that has this fault, one that has none, and no upstream."""

    def arrange(scene: Scene) -> None:
        scene.refuse_at_upstream()
        scene.good_peer()
        scene.peer({parts: fault})

    return arrange


def cells() -> Iterator[Cell]:
    """All of them."""
    for name, fault in ANSWERS.items():
        bound = bound_of(name)
        yield Cell("everything", name, alone(ALL, fault), bound, quick=name in _QUICK)
    small, large = ANSWERS | BODIES | LIES, BODIES | LIES
    for name, fault in small.items():
        group = "layers of 64 KiB"
        yield Cell(group, name, alone(Part.LAYER, fault), bound_of(name), quick=name in _QUICK)
    for name, fault in large.items():
        yield Cell(
            "a layer of 10 MiB",
            name,
            alone(Part.LARGE, fault),
            bound_of(name),
            large=True,
            quick=name in _QUICK,
            forced=name in LIES,
        )
    for name, fault in RANGES.items():
        arrange = two(Part.LARGE, cut_then(fault))
        forced = "wrong bytes" in name
        yield Cell("the rest of a layer", f"answers {name}", arrange, large=True, forced=forced)
    for name, fault in MANIFESTS.items():
        arrange = alone(Part.TAG | Part.MANIFEST, fault)
        yield Cell("the manifest", f"sends {name}", arrange, bound_of(name))
    for name, fault in (ANSWERS | BODIES | LIES).items():
        yield Cell(
            "a layer of 10 MiB, another peer has it all, no upstream",
            name,
            beside_a_good_one(Part.LARGE, fault),
            bound_of(name),
            large=True,
            saved=True,
            forced=name in LIES,
            quick=name == "resets in mid-body",
        )


def two(parts: Part, fault: Fault) -> Callable[[Scene], object]:
    """A scene with two peers that have the same fault."""

    def arrange(scene: Scene) -> None:
        scene.peer({parts: fault})
        scene.peer({parts: fault})

    return arrange
