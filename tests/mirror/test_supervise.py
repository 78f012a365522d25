from __future__ import annotations

import asyncio
import logging
import time

import pytest

from mirror.errors import SetupError
from mirror.metrics import Metrics
from mirror.supervise import supervise, watch_loop
from tests.mirror.loopback import until


class Service:
    """Fails a number of times, then runs until cancelled."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.failures = failures
        self.error = error or RuntimeError("boom")
        self.starts = 0
        self.cancelled = False

    async def run(self) -> None:
        self.starts += 1
        if self.starts <= self.failures:
            raise self.error
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


def failures(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("spegla_service_failures_total", {"service": "it"})


async def test_service_that_fails_is_started_again_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics, service = Metrics(), Service(1)
    task = asyncio.create_task(supervise("it", service.run, metrics))
    await until(lambda: service.starts == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert service.cancelled
    assert failures(metrics) == 1
    assert "it failed, starting it again in 0.5 s" in caplog.text
    assert "boom" in caplog.text


async def test_waits_double_up_to_half_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    waits: list[float] = []

    class Impatient(asyncio.SelectorEventLoop):
        """Jumps to whatever is due next."""

        now = 0.0

        def time(self) -> float:
            return self.now

        def call_at(self, when, callback, *args, context=None):  # type: ignore[no-untyped-def]
            waits.append(when - self.now)
            self.now = when
            return self.call_soon(callback, *args, context=context)

    def play() -> None:
        with asyncio.Runner(loop_factory=Impatient) as runner:
            service = Service(9, SetupError("stop"))
            service.error = RuntimeError("boom")

            async def run() -> None:
                if service.starts == 9:
                    raise SetupError("enough")
                await service.run()

            with pytest.raises(SetupError, match="enough"):
                runner.run(supervise("it", run, Metrics()))

    with caplog.at_level(logging.CRITICAL):
        await asyncio.to_thread(play)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


async def test_wrong_setup_is_for_the_node_to_end(caplog: pytest.LogCaptureFixture) -> None:
    metrics, service = Metrics(), Service(1, SetupError("the port is taken"))
    with pytest.raises(SetupError, match="the port is taken"):
        await supervise("it", service.run, metrics)
    assert service.starts == 1
    assert not caplog.records


async def test_service_that_is_done_is_not_started_again() -> None:
    starts = []

    async def once() -> None:
        starts.append(1)

    await supervise("it", once, Metrics())
    assert starts == [1]


async def test_cancelling_during_the_wait_ends_it() -> None:
    service = Service(100)
    task = asyncio.create_task(supervise("it", service.run, Metrics()))
    await until(lambda: service.starts)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert service.starts == 1


async def test_stall_of_the_event_loop_is_measured() -> None:
    metrics = Metrics()
    task = asyncio.create_task(watch_loop(metrics))
    await asyncio.sleep(0.15)
    time.sleep(0.3)  # noqa: ASYNC251 - that is what is to be noticed
    await until(
        lambda: (
            (metrics.registry.get_sample_value("spegla_event_loop_longest_stall_seconds") or 0)
            >= 0.1
        )
    )
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
