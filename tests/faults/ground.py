"""What the labs of all versions stand on: namespaces, the upstream registry, seats for peers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.netns import DEVICE, Namespace, Network, run
from tests.cluster.workspace import Workspace
from tests.faults.inside import Inside
from tests.faults.seat import PREFIX, Seat, listening
from tests.mirror.scripted_peer import ScriptedPeer, answering

_UPSTREAM_PORT = 5000
_SEATS = 6


@dataclass(frozen=True, slots=True)
class Ground:
    """The network.

    Attributes:
        folder: For files.
        puller: Where a node pulls that speaks plain HTTP with its peers.
        secure: Where one pulls that speaks TLS.
        holder: Where a real node holds images.
        upstream: The registry that all images are from, scripted too.
        upstream_space: Where that is.
        seats: Where peers sit that misbehave.
    """

    folder: Path
    puller: Namespace
    secure: Namespace
    holder: Namespace
    upstream: ScriptedPeer
    upstream_space: Namespace
    seats: list[Seat]


@contextmanager
def open_ground(workspace: Workspace) -> Iterator[Ground]:
    """Makes the network; its namespaces go with the workspace."""
    network = Network(workspace.tag, workspace.folder)
    spaces = [network.add(name, number) for number, name in enumerate(("p", "t", "h"), 1)]
    upstream_space = network.add("reg", 100)
    upstream = ScriptedPeer(upstream_space.ipv4, answering(404))
    with ExitStack() as stack:
        seats = []
        for number in range(_SEATS):
            space = network.add(f"s{number}", 10 + number)
            seats.append(Seat(space, stack.enter_context(Inside(space))))
        inside = stack.enter_context(Inside(upstream_space))
        server = listening(upstream.serve, upstream.address, _UPSTREAM_PORT)
        inside.run(server.__aenter__())
        stack.callback(lambda: inside.run(server.__aexit__(None, None, None)))
        for space in [*spaces, upstream_space]:
            run(["ip", "-n", space.name, "route", "add", f"10.77.0.0/{PREFIX}", "dev", DEVICE])
        puller, secure, holder = spaces
        yield Ground(workspace.folder, puller, secure, holder, upstream, upstream_space, seats)
