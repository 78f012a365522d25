"""Work that must not be left half-done when its caller is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Awaits `work`; a cancellation is delivered only after `work` has ended.

    For short work that owns a descriptor or changes a file: were it left behind in its thread,
    the descriptor could be closed and given to somebody else meanwhile.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # seen: the cancellation outranks it
        raise cancelled
    return task.result()


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs blocking `work` in a thread, and never returns before the thread is done with it."""
    return await to_the_end(asyncio.to_thread(work, *args, **kwargs))
