"""A yamux stream with a read buffer, so that parsing byte by byte costs nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libp2p.stream_muxer.yamux.yamux import YamuxStream

_CHUNK = 64 * 1024


class BufferedStream:
    """One stream to a peer. Stock reads send a window update each, also for a single byte."""

    def __init__(self, stream: YamuxStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    @property
    def has_more(self) -> bool:
        """Whether the next read answers at once."""
        return bool(self._buffer)

    async def read(self, n: int | None = None) -> bytes:
        """One to `n` bytes; raises py-libp2p's `MuxedStreamError`s at the end and on a reset."""
        if not self._buffer:
            self._buffer += await self._stream.read(_CHUNK)
        taken = bytes(self._buffer if n is None else self._buffer[:n])
        del self._buffer[: len(taken)]
        return taken

    async def write(self, data: bytes) -> None:
        """Sends all of `data`; raises when the stream or its connection is over."""
        await self._stream.write(data)

    async def close(self) -> None:
        """Ends this side's half. Never raises."""
        with contextlib.suppress(Exception):
            await self._stream.close()

    async def reset(self) -> None:
        """Ends both halves. Never raises."""
        with contextlib.suppress(Exception):
            await self._stream.reset()
