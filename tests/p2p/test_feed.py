from __future__ import annotations

import asyncio
import threading

from p2p.feed import Feed


async def test_what_comes_in_a_burst_is_one_batch():
    feed: Feed[int] = Feed(5.0)

    def fill() -> None:
        for number in range(3):
            feed.push([number, -number])
        feed.end()

    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()
    assert await feed.batch() == [0, 0, 1, -1, 2, -2]
    assert await feed.batch() == []
    assert feed.close()


async def test_the_consumer_wakes_when_something_comes():
    feed: Feed[int] = Feed(5.0)
    threading.Timer(0.05, feed.push, [[1]]).start()
    assert await feed.batch() == [1]
    threading.Timer(0.05, feed.end).start()
    assert await feed.batch() == []


async def test_it_ends_at_the_timeout_and_the_other_side_has_not():
    feed: Feed[int] = Feed(0.05)
    assert await asyncio.wait_for(feed.batch(), 5) == []
    assert not feed.close()


async def test_a_wake_up_for_items_taken_already_does_not_end_it():
    feed: Feed[int] = Feed(5.0)
    feed.push([1])
    assert await feed.batch() == [1]
    threading.Timer(0.05, feed.push, [[2]]).start()
    assert await feed.batch() == [2]
