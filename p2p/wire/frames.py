"""Length-prefixed messages, and multistream-select, which is made of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""What Go accepts in one DHT message."""

_MAX_TOKEN_BYTES = 1024
_MAX_TOKENS = 10
_MULTISTREAM = "/multistream/1.0.0"


class ProtocolError(Exception):
    """The peer sent what the protocol does not allow."""


class ByteStream(Protocol):
    """Something that delivers bytes in order."""

    async def read(self, n: int | None = None) -> bytes:
        """One to `n` bytes; raises when there are no more."""
        ...

    async def write(self, data: bytes) -> None:
        """Sends all of `data`."""
        ...


def frame(message: bytes) -> bytes:
    """The message behind its length as an unsigned varint."""
    length, prefix = len(message), bytearray()
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + message


async def read_frame(stream: ByteStream, limit: int) -> bytes:
    """Reads one message and not a byte more.

    Raises:
        ProtocolError: It announces more than `limit` bytes.
    """
    return await read_exactly(stream, await read_length(stream, limit))


async def read_length(stream: ByteStream, limit: int) -> int:
    """Reads the length before a message.

    Raises:
        ProtocolError: It is more than `limit` bytes.
    """
    length = shift = 0
    while True:
        byte = (await stream.read(1))[0]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 28:
            raise ProtocolError("the length of a message has more than 5 bytes")
    if length > limit:
        raise ProtocolError(f"a message of {length} bytes, {limit} are allowed")
    return length


async def read_exactly(stream: ByteStream, length: int) -> bytes:
    """Reads so many bytes and not one more."""
    message = bytearray()
    while len(message) < length:
        message += await stream.read(length - len(message))
    return bytes(message)


def propose(protocol: str) -> bytes:
    """What the opening side sends; it need not wait for the answer before its first message."""
    return _token(_MULTISTREAM) + _token(protocol)


async def read_agreement(stream: ByteStream, protocol: str) -> None:
    """Reads the answer to `propose`.

    Raises:
        ProtocolError: The other side does not speak `protocol`, or no multistream at all.
    """
    for expected in (_MULTISTREAM, protocol):
        answer = await _read_token(stream)
        if answer != expected:
            raise ProtocolError(f"asked for {expected}, the peer answered {answer[:100]!r}")


async def accept_protocol(stream: ByteStream, supported: Collection[str]) -> str:
    """Answers the proposals of the opening side until one fits.

    Raises:
        ProtocolError: None of ten did, or it speaks no multistream.
    """
    if await _read_token(stream) != _MULTISTREAM:
        raise ProtocolError("the connection does not begin with multistream-select")
    await stream.write(_token(_MULTISTREAM))
    for _ in range(_MAX_TOKENS):
        proposal = await _read_token(stream)
        if proposal in supported:
            await stream.write(_token(proposal))
            return proposal
        await stream.write(_token("na"))
    raise ProtocolError("no protocol in common")


def _token(text: str) -> bytes:
    return frame(text.encode() + b"\n")


async def _read_token(stream: ByteStream) -> str:
    token = await read_frame(stream, _MAX_TOKEN_BYTES)
    if not token.endswith(b"\n"):
        raise ProtocolError("a multistream token without its newline")
    return token[:-1].decode("utf-8", "replace")
