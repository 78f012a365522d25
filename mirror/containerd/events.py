"""containerd's event service: which image names changed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc.aio
from google.protobuf.message import DecodeError

from mirror.containerd.api import events_pb2, events_pb2_grpc, image_events_pb2
from mirror.containerd.api.envelope_pb2 import Envelope
from mirror.containerd.connection import Connection

_ImageEvent = (
    image_events_pb2.ImageCreate | image_events_pb2.ImageUpdate | image_events_pb2.ImageDelete
)
_IMAGE_EVENTS: dict[str, type[_ImageEvent]] = {
    "/images/create": image_events_pb2.ImageCreate,
    "/images/update": image_events_pb2.ImageUpdate,
    "/images/delete": image_events_pb2.ImageDelete,
}


class EventService:
    """The events of the connection's namespace."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stub = events_pb2_grpc.EventsStub(connection.channel)

    def image_names(self) -> AsyncIterator[str]:
        """Names of images that were created, updated or deleted; the event says no more.

        Subscribes at once, though containerd may still miss what happens in the next few
        milliseconds: it does not acknowledge. Ends only with an error. It has no deadline,
        because silence is normal: who follows it also asks something else now and then.

        Raises:
            ContainerdError: See `Connection.stream`.
        """
        connection = self._connection
        request = events_pb2.SubscribeRequest(
            filters=[f'namespace=={connection.namespace},topic~="^/images/"']
        )
        return self._names(self._stub.Subscribe(request, metadata=connection.metadata))

    async def _names(
        self, call: grpc.aio.UnaryStreamCall[events_pb2.SubscribeRequest, Envelope]
    ) -> AsyncIterator[str]:
        async for envelope in self._connection.stream(call):
            kind = _IMAGE_EVENTS.get(envelope.topic)
            if kind is None:
                continue
            try:
                yield kind.FromString(envelope.event.value).name
            except DecodeError:
                continue
