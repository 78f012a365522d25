"""What does an agent cost: idle, and with a full store and many large transfers at once?"""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.client import Client, Untrue
from benchmarks.content import add_small, blob_path
from benchmarks.lab import LOOPBACK, Lab
from benchmarks.table import Row, at_most
from benchmarks.usage import Usage
from mirror.transfer.client import MIRRORED_HEADER
from tests.cluster.spegla import REGISTRY_PORT, Spegla
from tests.cluster.waiting import wait_until

_IDLE_MIB = 110.0
_BUSY_MIB = 128.0
_IDLE_PERCENT = 1.0
_SETTLE_SECONDS = 2.0
_BUSY_SECONDS = 8.0
_SLOW = 24 * 1024 * 1024
"""Bytes a second of each reader, so that all transfers are under way at the same time."""


def run(lab: Lab) -> Iterator[Row]:
    """Machine 1 holds a large blob, machine 2 does not; both run with certificates."""
    with lab.agents(2, tls=True) as agents:
        yield from _idle(lab, agents)
    digests = lab.scale.digests
    blobs = [number.to_bytes(8, "big") for number in range(digests)]
    for number in 1, 2:
        add_small(lab.containerd(number), blobs)
    with lab.agents(2, tls=True) as agents:
        for agent in agents:
            wait_until("all to be advertised", lambda: _advertised(agent) >= digests, 60)  # noqa: B023
        yield from _busy(lab, agents)


def _idle(lab: Lab, agents: list[Spegla]) -> Iterator[Row]:
    time.sleep(_SETTLE_SECONDS)
    usages = [Usage(agent.daemon.pid) for agent in agents]
    before = [usage.cpu_seconds() for usage in usages]
    started = time.monotonic()
    time.sleep(lab.scale.idle_seconds)
    seconds = time.monotonic() - started
    spent = max(usage.cpu_seconds() - was for usage, was in zip(usages, before, strict=True))
    yield at_most("memory, idle", max(u.resident_mib() for u in usages), _IDLE_MIB, "MiB")
    yield at_most("CPU, idle", 100 * spent / seconds, _IDLE_PERCENT, "% of a core")


def _busy(lab: Lab, agents: list[Spegla]) -> Iterator[Row]:
    digest, size = lab.large
    path = blob_path(digest)
    clients = {
        "served": lab.client(2, tls=True, headers=(f"{MIRRORED_HEADER}: true",)),
        "relayed": lab.client(2, tls=True),
    }
    hosts = {"served": lab.space(1).ipv4, "relayed": LOOPBACK}
    for index, what in enumerate(clients):
        url = lab.ask(clients[what], hosts[what], REGISTRY_PORT, path)
        usage = Usage(agents[index].daemon.pid)
        usage.forget_peak()
        _transfer(clients[what], url, agents[index], lab.scale.transfers)
        yield at_most(
            f"memory, {lab.scale.digests:,} digests and {lab.scale.transfers} × "
            f"{lab.scale.blob_text} {what}, TLS",
            usage.peak_mib(),
            _BUSY_MIB,
            "MiB",
            f"{usage.resident_mib():.0f} MiB after",
        )


def _transfer(client: Client, url: str, agent: Spegla, count: int) -> None:
    readers = [client.slow(url, _SLOW) for _ in range(count)]
    try:
        time.sleep(_BUSY_SECONDS)
        under_way = agent.metric("http_requests_inflight")
        if under_way < count or any(reader.poll() is not None for reader in readers):
            raise Untrue(f"{under_way:.0f} transfers were under way, expected {count}")
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()


def _advertised(agent: Spegla) -> float:
    return agent.metric("spegel_advertised_content_digests")
