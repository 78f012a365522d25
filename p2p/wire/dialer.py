"""Dials all addresses of a peer at once, a little staggered; the first that answers wins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from p2p.port import PeerUnreachable
from p2p.wire.address import Endpoint

STAGGER_SECONDS = 0.1
MAX_ADDRESSES = 8

T = TypeVar("T")


async def dial_first(
    endpoints: Sequence[Endpoint],
    dial: Callable[[Endpoint], Awaitable[T]],
    discard: Callable[[T], None],
) -> T:
    """Calls `dial` for each endpoint 100 ms apart, until one succeeds.

    Args:
        endpoints: Where to try, best first; the first eight count.
        dial: Opens one connection; bounds its own time and raises `PeerUnreachable`.
        discard: Closes a connection that came second.

    Raises:
        PeerUnreachable: None answered; names each with its cause.
    """
    if not endpoints:
        raise PeerUnreachable("no address that could be dialled")
    won: list[T] = []
    causes: list[str] = []
    next_may_start = [trio.Event() for _ in endpoints]

    async def attempt(index: int, endpoint: Endpoint) -> None:
        if index:
            with trio.move_on_after(index * STAGGER_SECONDS):
                await next_may_start[index - 1].wait()
        try:
            result = await dial(endpoint)
        except PeerUnreachable as error:
            causes.append(f"{endpoint}: {error}")
            next_may_start[index].set()
            return
        won.append(result)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for index, endpoint in enumerate(endpoints[:MAX_ADDRESSES]):
            nursery.start_soon(attempt, index, endpoint)
    if not won:
        raise PeerUnreachable("; ".join(causes))
    for late in won[1:]:
        discard(late)
    return won[0]
