"""What does an agent cost: idle, and with a full store and many large transfers at once?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from benchmarks.agent import check_under_way, wait_advertised
from benchmarks.client import Client
from benchmarks.content import add_small, blob_path
from benchmarks.lab import LOOPBACK, Lab
from benchmarks.scale import Scale
from benchmarks.table import Row, at_most
from benchmarks.usage import Usage
from mirror.transfer.client import MIRRORED_HEADER
from tests.cluster.spegla import REGISTRY_PORT, Spegla

_IDLE_MIB = 110.0
_BUSY_MIB = 128.0
_IDLE_PERCENT = 1.0
_SETTLE_SECONDS = 2.0
_BUSY_SECONDS = 8.0


def run(lab: Lab) -> Iterator[Row]:
    """Machine 1 holds a large blob, machine 2 does not; both run with certificates."""
    with lab.agents(2, tls=True) as agents:
        yield from _idle(lab, agents)
    digests = lab.scale.digests
    blobs = [number.to_bytes(8, "big") for number in range(digests)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda number: add_small(lab.containerd(number), blobs), (1, 2)))
    with lab.agents(2, tls=True) as agents:
        for agent in agents:
            wait_advertised(agent, digests)
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
    digest, _ = lab.large
    path = blob_path(digest)
    as_peer = lab.client(2, tls=True, headers=(f"{MIRRORED_HEADER}: true",))
    as_containerd = lab.client(2, tls=True)
    holder, relay = agents
    for what, agent, handler, client, host in (
        ("served", holder, "blob", as_peer, lab.space(1).ipv4),
        ("relayed", relay, "mirror", as_containerd, LOOPBACK),
    ):
        url = lab.ask(client, host, REGISTRY_PORT, path)
        usage = Usage(agent.daemon.pid)
        usage.forget_peak()
        with _readers(lab.scale, client, url):
            time.sleep(_BUSY_SECONDS)
            check_under_way(agent, handler, lab.scale.transfers)
        question = (
            f"memory, {lab.scale.digests:,} digests and {lab.scale.transfers} of "
            f"{lab.scale.blob_text} {what} at once, TLS"
        )
        after = f"{usage.resident_mib():.0f} MiB after"
        yield at_most(question, usage.peak_mib(), _BUSY_MIB, "MiB", after)


@contextmanager
def _readers(scale: Scale, client: Client, url: str) -> Iterator[None]:
    """Reads a body several times at once, too slowly to come to its end within the block."""
    rate = int(scale.blob / (_BUSY_SECONDS * 4))
    readers = [client.slow(url, rate) for _ in range(scale.transfers)]
    try:
        yield
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
