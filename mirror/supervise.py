"""Runs the parts of a node so that none takes another down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mirror.errors import SetupError
from mirror.metrics import Metrics

log = logging.getLogger("spegla.agent")

_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_CALM = 60.0


async def supervise(name: str, run: Callable[[], Awaitable[None]], metrics: Metrics) -> None:
    """Runs a service until cancelled, starting it again when it fails.

    Waits 0.5 s before the first restart, doubling to 30 s; a service that ran for a minute
    starts from 0.5 s again.

    Raises:
        SetupError: The service cannot run as the node is set up; the node should stop.
    """
    loop = asyncio.get_running_loop()
    wait = _FIRST_WAIT
    while True:
        started = loop.time()
        try:
            return await run()
        except SetupError:
            raise
        except Exception:
            if loop.time() - started >= _CALM:
                wait = _FIRST_WAIT
            log.exception("%s failed, starting it again in %g s", name, wait)
            metrics.service_failures.labels(name).inc()
        await asyncio.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT)


async def watch_loop(metrics: Metrics) -> None:
    """Measures for how long the event loop is held up: the longest stall of the last minute."""
    loop = asyncio.get_running_loop()
    step, window = 0.1, 60.0
    last = 0.0
    while True:
        longest = 0.0
        until = loop.time() + window
        while (due := loop.time() + step) < until:
            await asyncio.sleep(step)
            longest = max(longest, loop.time() - due)
            metrics.loop_stall.set(max(last, longest))
        last = longest
