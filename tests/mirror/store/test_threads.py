from __future__ import annotations

import asyncio
import threading

import pytest

from mirror.store.threads import in_thread, to_the_end


async def test_result_and_error_pass_through() -> None:
    assert await in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await in_thread(divmod, 7, 0)


async def test_cancellation_waits_for_the_thread() -> None:
    started, may_end = threading.Event(), threading.Event()
    ended = False

    def work() -> None:
        nonlocal ended
        started.set()
        may_end.wait(20)
        ended = True

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(started.wait, 20)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended


async def test_error_after_a_cancellation_is_not_lost_noisily() -> None:
    async def work() -> None:
        await asyncio.sleep(0.01)
        raise ValueError("late")

    task = asyncio.create_task(to_the_end(work()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
