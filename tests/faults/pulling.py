"""Pulls for one cell: through spegla, then without."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests.cluster.cri import PullFailed
from tests.cluster.waiting import wait_until
from tests.faults.cell import Cell
from tests.faults.content import fresh
from tests.faults.lab import Lab, without_us
from tests.faults.scene import Scene
from tests.faults.verdict import Attempt, Outcome

_LONGEST = 40.0
"""Seconds after which a pull is called hanging."""

_TRIES = 3
_RETRY_SECONDS = 2.0
"""Between two attempts. A kubelet waits some seconds too; containerd needs them to clean up: until
then it goes on with the wrong bytes of the first (measured with 2.1.9)."""


class NotReached(Exception):
    """The fault of a cell did not come into play, so that its pulls show nothing."""


def run(cell: Cell, lab: Lab) -> Outcome:
    """Runs one cell.

    Raises:
        NotReached: The pull went past its fault.
    """
    return Outcome(ours=_through_us(cell, lab), direct=_attempts(cell, lab, mirrored=False))


def _through_us(cell: Cell, lab: Lab) -> list[Attempt]:
    for _ in range(_TRIES - 1):
        # Which peer is asked first hangs by milliseconds.
        with suppress(NotReached):
            return _attempts(cell, lab, mirrored=True)
    return _attempts(cell, lab, mirrored=True)


def _attempts(cell: Cell, lab: Lab, *, mirrored: bool) -> list[Attempt]:
    with _scene(cell, lab, mirrored=mirrored) as scene:
        attempts = [scene.pull(_attempt)]
        # How often a pull fails that cannot succeed without us is of no interest.
        if not attempts[0].succeeded and (mirrored or not cell.saved):
            time.sleep(_RETRY_SECONDS)
            wait_until("containerd to be back", scene.puller.containerd.cri.answers)
            attempts.append(_attempt(scene))
        if mirrored and cell.reached and not scene.faults:
            raise NotReached(f"{cell}: the pull went past the fault")
        return attempts


@contextmanager
def _scene(cell: Cell, lab: Lab, *, mirrored: bool) -> Iterator[Scene]:
    content = fresh(lab.folder, lab.fresh_name(), layers=cell.layers, large=cell.large)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, content.image.layout)
        stack.callback(lab.mend)
        scene = stack.enter_context(Scene(lab, content, mirrored=mirrored, secure=cell.secure))
        cell.arrange(scene)
        if not mirrored:
            stack.enter_context(without_us(scene.puller))
        yield scene
    for node in scene.puller, lab.holder:
        node.containerd.cri.remove(content.image)


def _attempt(scene: Scene) -> Attempt:
    containerd, image = scene.puller.containerd, scene.content.image
    start = time.monotonic()
    try:
        containerd.cri.pull(image, _LONGEST, scene.credentials)
    except PullFailed as failure:
        return Attempt(time.monotonic() - start, str(failure))
    seconds = time.monotonic() - start
    wrong = ", ".join(containerd.wrong_blobs(image))
    return Attempt(seconds, f"wrong bytes in its store: {wrong}" if wrong else "")
