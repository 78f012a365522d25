"""How long does an answer take that needs the network: nobody has it, or a peer does?"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from benchmarks.agent import check_relayed, wait_advertised
from benchmarks.content import add_small, blob_path
from benchmarks.lab import LOOPBACK, Lab
from benchmarks.table import Row, median_at_most
from mirror.oci.digest import Digest
from tests.cluster.spegla import REGISTRY_PORT

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
            wait_advertised(agents[0], asked)
            base = client.url(LOOPBACK, REGISTRY_PORT, "")
            lab.ask(client, LOOPBACK, REGISTRY_PORT, blob_path(held[0]))
            nobody = [Digest.of(random.randbytes(8)) for _ in range(asked)]
            misses = client.get_each(_urls(base, nobody), HTTPStatus.NOT_FOUND)
            hits = client.get_each(_urls(base, held), HTTPStatus.OK, _BLOB)
            check_relayed(agents[-1], asked * _BLOB)
            client.check(base + blob_path(held[-1]), held[-1])
        yield median_at_most(f"404 for what nobody has, {case.nodes} nodes", misses, case.unknown)
        yield median_at_most(f"relayed 10 kB blob, {case.nodes} nodes", hits, case.relayed)


def _urls(base: str, digests: Sequence[Digest]) -> list[str]:
    return [base + blob_path(digest) for digest in digests]
