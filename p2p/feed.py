"""Items from another thread to one asyncio consumer, as few wake-ups as possible."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Feed(Generic[T]):
    """Collects what comes in a burst and hands it over at once.

    Args:
        timeout: Seconds from now after which the feed ends, finished or not.
    """

    def __init__(self, timeout: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: deque[T] = deque()
        self._ended = False
        self._expired = False
        self._scheduled = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer = self._loop.call_later(timeout, self._expire)

    def push(self, items: Iterable[T]) -> None:
        """Adds items. Call from the one other thread."""
        self._items.extend(items)
        self._schedule()

    def end(self) -> None:
        """Says that nothing more comes. Call from the one other thread."""
        self._ended = True
        self._schedule()

    async def batch(self) -> list[T]:
        """What has come since the last call, waiting for the first; nothing at all at the end."""
        # Not once: a wake-up may be that of items which an earlier call has taken already.
        while not (self._items or self._ended or self._expired):
            self._waiter = self._loop.create_future()
            await self._waiter
            self._waiter = None
        return [self._items.popleft() for _ in range(len(self._items))]

    def close(self) -> bool:
        """Ends the consumer's side; returns whether the other one had ended already."""
        self._timer.cancel()
        return self._ended

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            with contextlib.suppress(RuntimeError):  # the loop is closed, so nobody waits
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._scheduled = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _expire(self) -> None:
        self._expired = True
        self._wake()
