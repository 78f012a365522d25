"""Two servers of the same bytes, measured in turns."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from benchmarks.client import Client
from benchmarks.scale import MIB
from benchmarks.table import Row, beside
from benchmarks.usage import Usage
from mirror.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class Contender:
    """A server that runs, and where it has the blob.

    Attributes:
        name: For the table.
        url: Of the blob.
        pid: The process that does the work measured.
    """

    name: str
    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Score:
    """What one contender did.

    Attributes:
        speed: Median, in MB/s.
        cpu: CPU seconds of the server per GiB sent.
        memory: Resident MiB at the end.
    """

    speed: float
    cpu: float
    memory: float


def contest(
    question: str,
    *,
    contenders: tuple[Contender, Contender],
    client: Client,
    blob: tuple[Digest, int],
    rounds: int,
    at_least: float,
) -> list[Row]:
    """Has both send a blob, in turns, and compares them.

    Args:
        question: What is asked.
        contenders: Ours and the peer.
        client: Fetches.
        blob: Digest and size of what they send; checked once for each.
        rounds: Turns of each.
        at_least: How many times the peer's speed ours is to reach.
    """
    digest, size = blob
    usages = [Usage(contender.pid) for contender in contenders]
    for contender in contenders:
        client.check(contender.url, digest)
    seconds: tuple[list[float], list[float]] = [], []
    cpu = [0.0, 0.0]
    for turn in range(rounds):
        for index in (0, 1) if turn % 2 else (1, 0):
            before = usages[index].cpu_seconds()
            seconds[index].append(client.get(contenders[index].url, size))
            cpu[index] += usages[index].cpu_seconds() - before
    ours, peer = (
        Score(
            size / median(seconds[index]) / 1e6,
            cpu[index] / (rounds * size / (1024 * MIB)),
            usages[index].resident_mib(),
        )
        for index in (0, 1)
    )
    return _rows(question, ours, peer, contenders[1].name, at_least)


def _rows(question: str, ours: Score, peer: Score, name: str, at_least: float) -> list[Row]:
    return [
        beside(question, ours.speed, peer.speed, "MB/s", name=name, at_least=at_least),
        beside(f"{question}: CPU", ours.cpu, peer.cpu, "s/GiB", name=name),
        beside(f"{question}: memory", ours.memory, peer.memory, "MiB", name=name),
    ]
