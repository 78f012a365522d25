"""The client that the rest of the node uses."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from mirror.containerd.connection import Connection
from mirror.containerd.content import ContentService
from mirror.containerd.events import EventService
from mirror.containerd.images import ImageService
from mirror.containerd.server import ServerService


class Containerd:
    """containerd at a socket, seen from one namespace.

    Attributes:
        connection: The way to it; stubs that have no method here are made from its channel.
        content: Committed content.
        images: Image names.
        events: What changes.
        server: Version and plug-ins.
    """

    def __init__(self, socket: Path, namespace: str, *, deadline: float = 10.0) -> None:
        """Does not connect yet; must be called in the event loop.

        Args:
            socket: containerd's gRPC socket.
            namespace: "k8s.io" for Kubernetes.
            deadline: Seconds that a single call may take.
        """
        self.connection = Connection(socket, namespace, deadline=deadline)
        self.content = ContentService(self.connection)
        self.images = ImageService(self.connection)
        self.events = EventService(self.connection)
        self.server = ServerService(self.connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.__aexit__()
