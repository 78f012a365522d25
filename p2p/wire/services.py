"""What this node answers on the streams that peers open."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from p2p.port import BadMessage, Handler
from p2p.wire.address import show_peer
from p2p.wire.frames import (
    MAX_MESSAGE_BYTES,
    ProtocolError,
    accept_protocol,
    frame,
    read_exactly,
    read_length,
)
from p2p.wire.identify import IDENTIFY, IDENTIFY_PUSH, read_identify

if TYPE_CHECKING:
    from p2p.wire.connection import Connection
    from p2p.wire.stream import BufferedStream

log = logging.getLogger("spegla.p2p")

STREAM_IDLE_SECONDS = 60.0
"""After so long without a message an inbound stream is reset, as Go does."""

MAX_LARGE_BYTES = 32 * 1024 * 1024
"""What all large messages that are coming in may take together; Spegel's are below 10 KiB, and
every peer may open 32 streams."""

_LARGE_BYTES = 64 * 1024
_NEGOTIATE_SECONDS = 10.0
_PING = "/ipfs/ping/1.0.0"
_PING_BYTES = 32
_MAX_ANSWERS_BYTES = 64 * 1024


class Services:
    """The handlers of a node, and the protocols of libp2p itself."""

    def __init__(
        self,
        describe: Callable[[Connection], bytes],
        identified: Callable[[Connection], None],
    ) -> None:
        self._describe = describe
        self._identified = identified
        self._handlers: dict[str, Handler] = {}
        self._large = 0

    @property
    def protocols(self) -> frozenset[str]:
        """All that is answered, as identify lists it."""
        return frozenset({IDENTIFY, IDENTIFY_PUSH, _PING, *self._handlers})

    def add(self, protocol: str, handler: Handler) -> None:
        """Answers `protocol` with `handler`."""
        self._handlers[protocol] = handler

    async def serve(self, connection: Connection, stream: BufferedStream) -> None:
        """Serves one stream to its end. Raises whatever ended it; the caller resets the stream."""
        with trio.fail_after(_NEGOTIATE_SECONDS):
            protocol = await accept_protocol(stream, self.protocols)
        if protocol == IDENTIFY:
            await stream.write(frame(self._describe(connection)))
        elif protocol == IDENTIFY_PUSH:
            with trio.fail_after(_NEGOTIATE_SECONDS):
                connection.learn(await read_identify(stream, connection.peer))
            self._identified(connection)
        elif protocol == _PING:
            await _serve_ping(stream)
        else:
            await self._serve_messages(connection, stream, self._handlers[protocol])

    async def _serve_messages(
        self, connection: Connection, stream: BufferedStream, handler: Handler
    ) -> None:
        answers = bytearray()
        while True:
            if answers and (not stream.has_more or len(answers) > _MAX_ANSWERS_BYTES):
                await stream.write(bytes(answers))
                answers.clear()
            with trio.fail_after(STREAM_IDLE_SECONDS):
                message = await self._read_message(stream)
            try:
                answer = await handler(connection.address, message)
            except BadMessage:
                raise
            except Exception:
                log.exception("answering %s failed", show_peer(connection.peer))
                raise
            if answer is not None:
                answers += frame(answer)

    async def _read_message(self, stream: BufferedStream) -> bytes:
        length = await read_length(stream, MAX_MESSAGE_BYTES)
        if length <= _LARGE_BYTES:
            return await read_exactly(stream, length)
        if self._large + length > MAX_LARGE_BYTES:
            raise ProtocolError("too many large messages at a time")
        self._large += length
        try:
            return await read_exactly(stream, length)
        finally:
            self._large -= length


async def _serve_ping(stream: BufferedStream) -> None:
    while True:
        payload = b""
        with trio.fail_after(STREAM_IDLE_SECONDS):
            while len(payload) < _PING_BYTES:
                payload += await stream.read(_PING_BYTES - len(payload))
        await stream.write(payload)
