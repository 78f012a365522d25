from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
import trio
import trio.lowlevel

from p2p.loop import LoopEnded, TrioThread


async def forever(ready: Callable[[], None]) -> None:
    ready()
    await trio.sleep_forever()


async def test_calls_run_in_trio_and_return_their_result():
    thread = await TrioThread.start("test", forever)

    async def work(number: int) -> tuple[int, str]:
        await trio.lowlevel.checkpoint()
        return number + 1, threading.current_thread().name

    assert await thread.call(work, 1) == (2, "test")
    await thread.stop()


async def test_errors_of_calls_reach_the_caller():
    thread = await TrioThread.start("test", forever)

    async def fail() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await thread.call(fail)
    await thread.stop()


async def test_cancelling_the_caller_cancels_the_call():
    thread = await TrioThread.start("test", forever)
    began, ended = threading.Event(), threading.Event()

    async def work() -> None:
        began.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    task = asyncio.create_task(thread.call(work))
    await asyncio.to_thread(began.wait, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 5)
    await thread.stop()


async def test_what_fails_at_the_start_is_raised_there():
    async def fail(ready: Callable[[], None]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise OSError("address in use")

    with pytest.raises(OSError, match="address in use"):
        await TrioThread.start("test", fail)


async def test_a_crash_reaches_those_who_wait_and_those_who_call():
    crash = trio.Event()

    async def main(ready: Callable[[], None]) -> None:
        ready()
        await crash.wait()
        raise ZeroDivisionError

    thread = await TrioThread.start("test", main)
    waiting = asyncio.create_task(thread.ended())
    calling = asyncio.create_task(thread.call(trio.sleep_forever))
    await asyncio.sleep(0.05)
    thread.post(crash.set)
    for task in (waiting, calling):
        with pytest.raises(LoopEnded) as caught:
            await task
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(LoopEnded):
        thread.post(print)
    with pytest.raises(LoopEnded):
        await thread.call(trio.sleep, 0)
    await thread.stop()


async def test_a_stop_that_was_asked_for_is_no_failure():
    thread = await TrioThread.start("test", forever)
    waiting = asyncio.create_task(thread.ended())
    await thread.stop()
    await asyncio.wait_for(waiting, 5)
    await thread.stop()


async def test_a_main_that_returns_has_failed():
    async def main(ready: Callable[[], None]) -> None:
        ready()

    thread = await TrioThread.start("test", main)
    with pytest.raises(LoopEnded):
        await thread.ended()
