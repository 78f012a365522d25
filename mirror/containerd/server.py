"""What containerd tells about itself."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.empty_pb2 import Empty

from mirror.containerd.api import introspection_pb2, introspection_pb2_grpc, version_pb2_grpc
from mirror.containerd.connection import Connection


class ServerService:
    """Version and plug-ins."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._version = version_pb2_grpc.VersionStub(connection.channel)
        self._introspection = introspection_pb2_grpc.IntrospectionStub(connection.channel)

    async def version(self) -> str:
        """Such as "v2.1.9"; also the cheapest way to see that containerd answers.

        Raises:
            ContainerdError: See `Connection.call`.
        """
        return (await self._connection.call(self._version.Version, Empty())).version

    async def content_root(self) -> Path | None:
        """The folder of the content store, in containerd's mount namespace.

        None when containerd does not tell; 1.6 and 2.1 do.

        Raises:
            ContainerdError: See `Connection.call`.
        """
        request = introspection_pb2.PluginsRequest(filters=["type==io.containerd.content.v1"])
        answer = await self._connection.call(self._introspection.Plugins, request)
        roots = [root for plugin in answer.plugins if (root := plugin.exports.get("root"))]
        return Path(roots[0]) if roots else None
