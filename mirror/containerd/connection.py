"""One gRPC connection to containerd: where it is, in which namespace, and how long it may take.

Importing this costs 13 MiB of resident memory (grpcio 1.85, measured), so only what talks to
containerd imports it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

import grpc
import grpc.aio

Request = TypeVar("Request")
Response = TypeVar("Response")

_MAX_MESSAGE = 16 * 1024 * 1024
"""Bytes; containerd's own limit. gRPC's default of 4 MiB is too little for some image lists."""

_OPTIONS = (
    # Go's servers refuse the percent-encoded socket path that would be sent otherwise.
    ("grpc.default_authority", "localhost"),
    ("grpc.max_receive_message_length", _MAX_MESSAGE),
    ("grpc.max_send_message_length", _MAX_MESSAGE),
    # A new connection must not inherit the back-off of the one that failed before it.
    ("grpc.use_local_subchannel_pool", 1),
)


class ContainerdError(OSError):
    """containerd refused or failed a call; asking the same again will not help soon."""


class ContainerdUnavailable(ContainerdError):
    """containerd is not there, or does not answer in time."""


class ContentNotFound(ContainerdError):
    """containerd does not know the content or image that was asked for."""


class Connection:
    """A channel to `socket` that speaks for one namespace.

    It connects when first used and again whenever needed; made and closed in the event loop.

    Attributes:
        socket: containerd's gRPC socket.
        namespace: containerd's namespace, "k8s.io" for Kubernetes.
        deadline: Seconds that a single call may take.
        channel: What the generated stubs are made from.
        metadata: What every call must carry.
    """

    def __init__(self, socket: Path, namespace: str, *, deadline: float = 10.0) -> None:
        self.socket = socket
        self.namespace = namespace
        self.deadline = deadline
        self.metadata = (("containerd-namespace", namespace),)
        self.channel = grpc.aio.insecure_channel(f"unix://{socket.absolute()}", options=_OPTIONS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    async def call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request
    ) -> Response:
        """Calls a method that takes one message and gives one.

        Raises:
            ContainerdUnavailable: containerd is not there or took longer than `deadline`.
            ContentNotFound: It knows no such thing.
            ContainerdError: It failed otherwise.
        """
        with self.translated():
            return await method(request, timeout=self.deadline, metadata=self.metadata)

    async def stream(
        self, call: grpc.aio.UnaryStreamCall[Request, Response]
    ) -> AsyncIterator[Response]:
        """The messages of a call that gives many; the caller has set its deadline.

        Raises:
            ContainerdUnavailable: As `call`.
            ContentNotFound: As `call`.
            ContainerdError: As `call`.
        """
        try:
            with self.translated():
                async for message in call:
                    yield message
        finally:
            call.cancel()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns gRPC's errors into ours."""
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from error
        except grpc.aio.UsageError as error:
            raise ContainerdUnavailable(f"the connection to {self.socket} is closed") from error

    def _error(self, error: grpc.aio.AioRpcError) -> ContainerdError:
        code, details = error.code(), error.details() or "no details"
        if code is grpc.StatusCode.UNAVAILABLE:
            # Its cause comes last in the details, after the socket's address.
            return ContainerdUnavailable(details.rpartition("unix:")[2] or details)
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return ContainerdUnavailable(f"{self.socket}: no answer within {self.deadline:.0f} s")
        if code is grpc.StatusCode.NOT_FOUND:
            return ContentNotFound(details)
        return ContainerdError(f"containerd at {self.socket}: {code.name}: {details}")
