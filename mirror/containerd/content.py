"""containerd's content service: what is committed, with which labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mirror.containerd.api import content_pb2, content_pb2_grpc
from mirror.containerd.connection import Connection, ContentNotFound
from mirror.oci.digest import Digest, InvalidDigest


@dataclass(frozen=True, slots=True)
class ContentInfo:
    """A piece of content, as containerd describes it in one namespace.

    Attributes:
        digest: Its name.
        size: Bytes.
        labels: containerd's labels; they are set and changed after the commit.
    """

    digest: Digest
    size: int
    labels: Mapping[str, str]


class ContentService:
    """The content of the connection's namespace."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = content_pb2_grpc.ContentStub(connection.channel)

    async def info(self, digest: Digest) -> ContentInfo | None:
        """What is known of `digest`; None when this namespace does not hold it.

        Raises:
            ContainerdError: See `Connection.call`.
        """
        request = content_pb2.InfoRequest(digest=digest)
        try:
            answer = await self._connection.call(self._stub.Info, request)
        except ContentNotFound:
            return None
        return ContentInfo(digest, answer.info.size, dict(answer.info.labels))

    async def list(self) -> list[ContentInfo]:
        """All content whose digest is sha256.

        Raises:
            ContainerdError: See `Connection.stream`.
        """
        connection = self._connection
        call = self._stub.List(
            content_pb2.ListContentRequest(),
            timeout=connection.deadline,
            metadata=connection.metadata,
        )
        found = []
        async for message in connection.stream(call):
            for info in message.info:
                try:
                    digest = Digest.parse(info.digest)
                except InvalidDigest:
                    continue
                found.append(ContentInfo(digest, info.size, dict(info.labels)))
        return found

    async def read(self, digest: Digest, offset: int, length: int) -> bytes:
        """Reads `length` bytes at `offset`, which must lie inside the content.

        For a few MiB at most: the file itself, where it can be reached, is 20 times faster
        (measured with containerd 1.6.20 and 2.1.9).

        Raises:
            ContainerdError: See `Connection.stream`.
        """
        connection = self._connection
        call = self._stub.Read(
            content_pb2.ReadContentRequest(digest=digest, offset=offset, size=length),
            timeout=connection.deadline,
            metadata=connection.metadata,
        )
        return b"".join([message.data async for message in connection.stream(call)])
