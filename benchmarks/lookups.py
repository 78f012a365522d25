"""How fast does the network find and learn keys? In a swarm of nodes without anything else."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.client import Untrue
from benchmarks.lab import Lab
from benchmarks.swarm import Member
from benchmarks.table import Row, at_most, median_at_most
from tests.cluster.waiting import wait_until

_OWN_MS = 2.0
_NETWORK_MS = 10.0
_ADVERTISED_SECONDS = 3.0
_WATCHERS = 3


def run(lab: Lab) -> Iterator[Row]:
    """One node provides; others look in their own records, the last one only in the network's."""
    size, asked, keys = lab.scale.swarm, lab.scale.asked, lab.scale.keys
    space = lab.space(200, "swarm")
    folder = lab.folder("swarm")
    folder.mkdir()
    members = [
        Member(space, number, folder, forgetful=number == size) for number in range(1, size + 1)
    ]
    wait_until("the swarm to meet", lambda: all(_meets(m, size) for m in members), 60)
    provider, *others, forgetful = members

    provider.ask("provide", "few", asked)
    others[0].ask("all", "few", asked)
    yield _row("lookup in own records", others[0].ask("find", "few", asked), _OWN_MS, size)
    yield _row("lookup through the network", forgetful.ask("find", "few", asked), _NETWORK_MS, size)

    watchers = others[:_WATCHERS]
    for watcher in watchers:
        watcher.order("all", "many", keys)
    started, returned = provider.ask("provide", "many", keys)
    learned = max(watcher.answer() for watcher in watchers) - started
    note = f"announced in {returned - started:.2f} s"
    yield at_most(
        f"{keys:,} keys until all are findable, {size} nodes",
        learned,
        _ADVERTISED_SECONDS,
        "s",
        note,
    )
    for member in members:
        member.end()


def _meets(member: Member, size: int) -> bool:
    return bool(member.ask("peers") >= size - 1)


def _row(question: str, found: list[float | None], limit: float, size: int) -> Row:
    seconds = [second for second in found if second is not None]
    if len(seconds) < len(found):
        raise Untrue(f"{question}: {len(found) - len(seconds)} of {len(found)} were not found")
    return median_at_most(f"{question}, {size} nodes", seconds, limit)
