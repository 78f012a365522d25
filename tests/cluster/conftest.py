"""The cluster's fixtures: a network and an upstream registry a session, new nodes for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence

import pytest
import trustme

from tests.cluster import containerd, faults
from tests.cluster.containerd import Build, Containerd
from tests.cluster.image import Image, Layer, make_image
from tests.cluster.netns import Namespace, Network
from tests.cluster.node import Node
from tests.cluster.registry import Registry
from tests.cluster.spegla import Spegla, issue
from tests.cluster.workspace import Workspace, end_processes, sweep

NODES = 4

Push = Callable[[str, Sequence[Layer]], Image]


@pytest.fixture(scope="session")
def workspace() -> Iterator[Workspace]:
    if os.geteuid() != 0:
        pytest.skip("cluster tests need root")
    sweep()
    with Workspace() as workspace:
        yield workspace


@pytest.fixture(scope="session")
def network(workspace: Workspace) -> Network:
    return Network(workspace.tag, workspace.folder)


@pytest.fixture(scope="session")
def spaces(network: Network) -> list[Namespace]:
    """The nodes' namespaces, which tests use one after the other."""
    return [network.add(f"n{number}", number) for number in range(1, NODES + 1)]


@pytest.fixture(scope="session")
def session_registry(network: Network, workspace: Workspace) -> Registry:
    return Registry(network.add("reg", 100), workspace.folder / "registry")


@pytest.fixture
def registry(session_registry: Registry) -> Registry:
    """The upstream, running."""
    session_registry.start()
    return session_registry


@pytest.fixture(scope="session")
def images() -> dict[str, Image]:
    """What has been pushed in this session."""
    return {}


@pytest.fixture
def push(registry: Registry, workspace: Workspace, images: dict[str, Image]) -> Push:
    """Makes and pushes an image, once a session for each name."""

    def push(name: str, layers: Sequence[Layer]) -> Image:
        if name not in images:
            images[name] = make_image(workspace.folder, name, layers)
            registry.push(images[name])
        return images[name]

    return push


@pytest.fixture(scope="session", params=["1.6", "2.1"])
def build(request: pytest.FixtureRequest) -> Build:
    """Each version of containerd that is supported at its ends."""
    return containerd.debian() if request.param == "1.6" else containerd.newest()


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA()


class Cluster:
    """Makes the nodes of one test; the first two are where the others find the network."""

    def __init__(self, spaces: Sequence[Namespace], workspace: Workspace, ca: trustme.CA) -> None:
        self._spaces = spaces
        self._folder = workspace.folder / "nodes"
        self._ca = ca
        self.nodes: list[Node] = []

    def make(
        self, count: int, build: Build, *, tls: bool = False, flags: Sequence[str] = ()
    ) -> list[Node]:
        """Makes further nodes, on which nothing runs yet."""
        first = len(self.nodes)
        for space in self._spaces[first : first + count]:
            folder = self._folder / space.port
            runtime = Containerd(build, space, folder / "containerd")
            agent = Spegla(
                runtime,
                space,
                folder / "spegla",
                bootstrap=self._spaces[:2],
                tls=issue(self._ca, space, folder / "tls") if tls else None,
                flags=flags,
            )
            self.nodes.append(Node(space, runtime, agent))
        return self.nodes[first:]

    def end(self) -> None:
        """Ends all that runs on the nodes and mends their links; prints what they said last."""
        for node in self.nodes:
            node.containerd.cri.close()
            end_processes(node.space.name)
            faults.heal(node.space)
            faults.unshape(node.space)
            for daemon in node.containerd.daemon, node.spegla.daemon:
                print(f"--- {daemon.log}", daemon.last_words(), sep="\n")
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture
def cluster(spaces: list[Namespace], workspace: Workspace, ca: trustme.CA) -> Iterator[Cluster]:
    """A way to make nodes; all of them are gone after the test."""
    cluster = Cluster(spaces, workspace, ca)
    yield cluster
    cluster.end()
