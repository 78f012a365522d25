"""An upstream that is away, slow, busy, or asks who is there."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping

from tests.faults.cell import Cell
from tests.faults.content import ALL, LAYERS, Part
from tests.faults.scene import Scene
from tests.faults.scripts import Faults, always, of_half, script
from tests.mirror.scripted_peer import Asked, Behaviour, answering, cut_after, late, trickling

USER, PASSWORD = "somebody", "a password"

_FAULTS: Mapping[str, Faults] = {
    "answers 404 to everything": {ALL: always(answering(404))},
    "answers 429 to everything": {ALL: always(answering(429))},
    "answers 503 to everything": {ALL: always(answering(503))},
    "closes in mid-body": {LAYERS: of_half(cut_after)},
    "resets in mid-body": {LAYERS: lambda data: cut_after(data, len(data) // 2, reset=True)},
    "sends 64 kB/s": {Part.LAYER: lambda data: trickling(data, 8192, 0.125)},
}
_HOPELESS = ("answers 404 to everything", "answers 429 to everything")
"""Nothing to learn from these when nobody else has the image, and containerd 2.1 tries for 10 s."""

_LOST = ("is away", "answers 503 to everything", *_HOPELESS)
"""With these there is no pull without us."""


def away(scene: Scene) -> None:
    """Nobody listens there."""
    scene.refuse_at_upstream()


def slow(scene: Scene) -> None:
    """It takes half a second to answer anything."""
    scene.upstream_does(late(0.5, script(scene.content, {})))


def throttling(scene: Scene) -> None:
    """It answers two requests of three with 429."""
    good, count = script(scene.content, {}), 0

    async def behave(asked: Asked) -> None:
        nonlocal count
        count += 1
        await (good if count % 3 == 0 else answering(429))(asked)

    scene.upstream_does(behave)


def private(scene: Scene) -> None:
    """It asks for a password, which the kubelet gives."""
    scene.credentials = USER, PASSWORD
    scene.upstream_does(_asking(script(scene.content, {})))


def with_faults(faults: Faults) -> Callable[[Scene], None]:
    """It has these."""
    return lambda scene: scene.upstream(faults)


def somebody_else(arrange: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """A peer has it all."""

    def both(scene: Scene) -> None:
        arrange(scene)
        scene.good_peer()

    return both


def cells() -> Iterator[Cell]:
    """Each with nobody else who has the image, and with a peer that has it all."""
    upstreams = {
        "is away": away,
        "takes 0.5 s to answer": slow,
        "answers two of three requests with 429": throttling,
        "asks for a password": private,
        **{name: with_faults(faults) for name, faults in _FAULTS.items()},
    }
    for name, arrange in upstreams.items():
        if name not in _HOPELESS:
            yield Cell("the upstream", name, arrange, reached=False)
        yield Cell(
            "the upstream, while a peer has it all",
            name,
            somebody_else(arrange),
            reached=False,
            saved=name in _LOST,
            quick=name == "is away",
        )


def _asking(behaviour: Behaviour) -> Behaviour:
    shown = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    refusal = answering(401, WWW_Authenticate='Basic realm="test"')

    async def behave(asked: Asked) -> None:
        right = asked.headers.get("authorization") == shown
        await (behaviour if right else refusal)(asked)

    return behave
