"""How long does an answer take that needs the network: nobody has it, or a peer does?"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from statistics import median, quantiles

from benchmarks.client import Untrue
from benchmarks.content import add_small, blob_path
from benchmarks.lab import LOOPBACK, Lab
from benchmarks.table import Row, at_most
from mirror.oci.digest import Digest
from tests.cluster.spegla import REGISTRY_PORT, Spegla
from tests.cluster.waiting import wait_until

_BLOB = 10_000


@dataclass(frozen=True, slots=True)
class _Case:
    """How many nodes, and the most milliseconds at the median for a 404 and for a relayed blob."""

    nodes: int
    unknown: float
    relayed: float


_CASES = _Case(2, 3.5, 4.0), _Case(8, 7.0, 4.0)


def run(lab: Lab) -> Iterator[Row]:
    """The last machine asks its own agent, one by one on one connection, as containerd does."""
    asked = lab.scale.asked
    for case in _CASES:
        blobs = [random.randbytes(_BLOB) for _ in range(asked)]
        held = add_small(lab.containerd(1), blobs)
        client = lab.client(case.nodes)
        with lab.agents(case.nodes) as agents:
            wait_until("all to be advertised", lambda: _advertised(agents[0]) >= asked, 60)
            base = client.url(LOOPBACK, REGISTRY_PORT, "")
            lab.ask(client, LOOPBACK, REGISTRY_PORT, blob_path(held[0]))
            nobody = [Digest.of(random.randbytes(8)) for _ in range(asked)]
            misses = client.get_each(_urls(base, nobody), HTTPStatus.NOT_FOUND)
            hits = client.get_each(_urls(base, held), HTTPStatus.OK, _BLOB)
            _check_relayed(agents[-1], asked)
            client.check(base + blob_path(held[-1]), held[-1])
        yield _row(f"404 for what nobody has, {case.nodes} nodes", misses, case.unknown)
        yield _row(f"relayed 10 kB blob, {case.nodes} nodes", hits, case.relayed)


def _urls(base: str, digests: Sequence[Digest]) -> list[str]:
    return [base + blob_path(digest) for digest in digests]


def _advertised(agent: Spegla) -> float:
    return agent.metric("spegel_advertised_content_digests")


def _check_relayed(agent: Spegla, count: int) -> None:
    relayed = agent.metric("spegla_sent_bytes_total", source="peer")
    if relayed < count * _BLOB:
        raise Untrue(f"{relayed:.0f} bytes came through a peer, expected {count * _BLOB}")


def _row(question: str, seconds: Sequence[float], limit: float) -> Row:
    ms = [second * 1000 for second in seconds]
    p99 = quantiles(ms, n=100)[98]
    return at_most(f"{question}, p50", median(ms), limit, "ms", note=f"p99 {p99:.1f} ms")
