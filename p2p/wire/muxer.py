"""yamux with what py-libp2p's lacks: writes that survive cancellation, and bounds."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.peer.id import ID
from libp2p.stream_muxer.yamux.yamux import Yamux

from p2p.wire.diet import is_tested_version

if TYPE_CHECKING:
    from libp2p.abc import ISecureConn

    from p2p.wire.socket import WireSocket

MAX_BUFFERED_BYTES = 8 * 1024 * 1024
"""What one connection may have received and not yet read: two of the largest messages."""

WRITE_SECONDS = 10.0
"""A peer that takes no data for so long is gone (Go's yamux gives up after the same time)."""


_CLOSE_SECONDS = 0.5


class SafeYamux(Yamux):
    """py-libp2p's yamux, changed at two of its seams."""

    def __init__(
        self, secured: ISecureConn, peer: ID, socket: WireSocket, *, is_initiator: bool
    ) -> None:
        super().__init__(secured, peer, is_initiator=is_initiator)
        self._socket = socket

    async def _write_frame(self, data: bytes) -> None:
        """Writes whole frames only.

        The cipher has advanced when a write is cut by cancellation, so the next frame would end
        the connection with every stream on it (measured with 0.8.1).
        """
        with trio.CancelScope(shield=True, deadline=trio.current_time() + WRITE_SECONDS) as scope:
            async with self._write_lock:
                await self.secured_conn.write(data)
        if scope.cancelled_caught:
            self._socket.abort()
            raise ConnectionClosedError("the peer takes no data")
        await trio.lowlevel.checkpoint()

    async def _read_data_body(self, length: int) -> bytes:
        """Ends a connection that sends more than its windows allow; stock yamux only warns."""
        buffered = sum(len(buffer) for buffer in self.stream_buffers.values())
        if buffered + length > MAX_BUFFERED_BYTES:
            # The one exception after which `handle_incoming` ends the connection in every branch.
            raise trio.TooSlowError("the peer exceeds its receive windows")
        return await super()._read_data_body(length)


def new_muxer(secured: ISecureConn, peer: ID, socket: WireSocket, *, is_initiator: bool) -> Yamux:
    """The muxer of one connection; the stock one where our changes were never tried."""
    if is_tested_version():
        return SafeYamux(secured, peer, socket, is_initiator=is_initiator)
    return Yamux(secured, peer, is_initiator=is_initiator)


async def close_muxer(muxer: Yamux, socket: WireSocket) -> None:
    """Says goodbye and closes, in half a second at most whatever the peer does."""

    async def say_goodbye() -> None:
        with contextlib.suppress(Exception):
            await muxer.close()

    async def abort_late() -> None:
        # A deadline would not do: `_write_frame` is shielded, only a closed socket ends it.
        await trio.sleep(_CLOSE_SECONDS)
        socket.abort()

    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say_goodbye)
            nursery.start_soon(abort_late)
            # Not the end of `close`, which goes on to sleep for a tenth of a second.
            await muxer.event_closed.wait()
            nursery.cancel_scope.cancel()
    socket.abort()
