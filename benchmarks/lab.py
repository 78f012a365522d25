"""Machines to measure on: namespaces on one switch, each with a containerd and an agent."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path

import trustme

from benchmarks.client import Client
from benchmarks.content import add_large
from benchmarks.scale import Scale
from mirror.oci.digest import Digest
from tests.cluster.containerd import Containerd, debian
from tests.cluster.netns import Namespace, Network
from tests.cluster.spegla import Spegla, Tls, issue
from tests.cluster.waiting import wait_until
from tests.cluster.workspace import Workspace

LOOPBACK = "127.0.0.1"
"""Where a node's own containerd asks."""


class Lab:
    """Makes what questions need, when they first need it; the workspace's end removes it all.

    Machines have numbers from 1; containerds go on running from question to question.
    """

    def __init__(self, workspace: Workspace, scale: Scale) -> None:
        self.scale = scale
        self._root = workspace.folder
        self._network = Network(workspace.tag, workspace.folder)
        self._ca = trustme.CA()
        self._numbers = itertools.count(1)
        self.space = cache(self._make_space)
        self.containerd = cache(self._start_containerd)
        self.tls = cache(self._issue)

    @cached_property
    def large(self) -> tuple[Digest, int]:
        """Digest and size of the large blob, which machine 1 holds."""
        return add_large(self.containerd(1), self.scale.blob, self._root), self.scale.blob

    def file(self, digest: Digest) -> Path:
        """The file of a blob that machine 1 holds."""
        return self.containerd(1).content / "blobs/sha256" / digest.hex

    def folder(self, name: str) -> Path:
        """The path of a folder that is not there yet."""
        return self._root / f"{name}-{next(self._numbers)}"

    def client(self, number: int, *, tls: bool = False, headers: tuple[str, ...] = ()) -> Client:
        """A client on a machine."""
        return Client(self.space(number), self.tls(number) if tls else None, headers)

    @contextmanager
    def agents(self, count: int, *, tls: bool = False) -> Iterator[list[Spegla]]:
        """Runs an agent on each of the first `count` machines."""
        folder = self.folder("agents")
        with ThreadPoolExecutor(count) as pool:
            numbers = range(1, count + 1)
            for number in numbers:
                self.space(number)
            list(pool.map(self.containerd, numbers))
            agents = [
                Spegla(
                    self.containerd(number),
                    self.space(number),
                    folder / str(number),
                    bootstrap=[self.space(1)],
                    tls=self.tls(number) if tls else None,
                )
                for number in numbers
            ]
            list(pool.map(Spegla.start, agents))
            yield agents
            list(pool.map(lambda agent: agent.daemon.stop(), agents))

    def ask(self, client: Client, host: str, port: int, path: str) -> str:
        """The URL of `path` at a server; waits until that has it or knows who does."""
        url = client.url(host, port, path)
        wait_until(f"{url} to be found", lambda: client.answers(url), 60)
        return url

    def _make_space(self, number: int, name: str = "") -> Namespace:
        return self._network.add(name or f"n{number}", number)

    def _start_containerd(self, number: int) -> Containerd:
        containerd = Containerd(debian(), self.space(number), self._root / f"containerd-{number}")
        containerd.start()
        return containerd

    def _issue(self, number: int) -> Tls:
        return issue(self._ca, self.space(number), self._root / f"tls-{number}")
