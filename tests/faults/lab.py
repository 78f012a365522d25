"""A cluster for all cells of one version of containerd: set up once, mended after each pull."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from tests.cluster.containerd import Build, Containerd
from tests.cluster.netns import Namespace
from tests.cluster.node import Node, start_at_once
from tests.cluster.spegla import Spegla, issue
from tests.cluster.workspace import end_processes
from tests.faults.ground import Ground
from tests.mirror.scripted_peer import answering


@dataclass
class Lab:
    """Nodes on a ground.

    Attributes:
        build: The version of containerd.
        ground: The network below them.
        folder: For what a pull needs.
        puller: Pulls; its agent speaks plain HTTP.
        secure: Pulls too; its agent speaks TLS.
        holder: A real node that pulls beforehand what the puller is to get from it.
        ca: Signs the certificates of all nodes.
    """

    build: Build
    ground: Ground
    folder: Path
    puller: Node
    secure: Node
    holder: Node
    ca: trustme.CA
    _addresses: Iterator[str] = field(
        default_factory=lambda: (f"10.77.{n // 250}.{n % 250 + 1}" for n in itertools.count(250))
    )
    _names: Iterator[int] = field(default_factory=itertools.count)

    @property
    def nodes(self) -> list[Node]:
        """The real ones."""
        return [self.puller, self.secure, self.holder]

    def puller_of(self, secure: bool) -> Node:
        """The node that pulls, with TLS between the nodes or without."""
        return self.secure if secure else self.puller

    def fresh_address(self) -> str:
        """An address that nobody had before."""
        return next(self._addresses)

    def fresh_name(self) -> str:
        """A repository that is not there yet."""
        return f"cell-{next(self._names)}"

    def mend(self) -> None:
        """Ends all that a cell can have done to nodes."""
        self.ground.upstream.behaviour = answering(404)
        self.ground.upstream.asked.clear()
        for node in self.nodes:
            for daemon in node.containerd.daemon, node.spegla.daemon:
                if daemon.alive:
                    daemon.resume()
            if not node.containerd.daemon.alive:
                node.containerd.start()
            if not node.spegla.daemon.alive:
                node.spegla.start()


@contextmanager
def open_lab(build: Build, ground: Ground) -> Iterator[Lab]:
    """Starts the nodes of one version, and ends them with all that they left."""
    folder = ground.folder / f"faults-{build}"
    ca = trustme.CA()

    def node(space: Namespace, *, tls: bool = False) -> Node:
        place = folder / space.port
        runtime = Containerd(build, space, place / "containerd")
        agent = Spegla(
            runtime,
            space,
            place / "spegla",
            bootstrap=[ground.puller, ground.holder],
            tls=issue(ca, space, place / "tls") if tls else None,
        )
        return Node(space, runtime, agent)

    lab = Lab(
        build,
        ground,
        folder,
        puller=node(ground.puller),
        secure=node(ground.secure, tls=True),
        holder=node(ground.holder),
        ca=ca,
    )
    try:
        start_at_once(lab.nodes)
        yield lab
    finally:
        for each in lab.nodes:
            each.containerd.cri.close()
            end_processes(each.space.name)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def without_us(node: Node) -> Iterator[None]:
    """Lets a node's containerd ask the registry itself while the context lasts."""
    certs, aside = node.containerd.certs, node.containerd.certs.with_name("certs.aside")
    certs.rename(aside)
    certs.mkdir()
    node.containerd.use_registry_directly()
    try:
        yield
    finally:
        shutil.rmtree(certs)
        aside.rename(certs)
