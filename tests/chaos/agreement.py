"""Whether the network names just those who hold a blob."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mirror.containerd.client import Containerd
from mirror.oci.digest import Digest
from tests.chaos.subject import Subject

_SOURCE = "containerd.io/distribution.source."
_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class Store:
    """What one node holds.

    Attributes:
        shared: Blobs that others must find: those whose registry containerd knows.
        held: All blobs on its disk.
    """

    shared: frozenset[Digest]
    held: frozenset[Digest]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What all nodes find, compared with what all hold.

    Attributes:
        compared: Pairs of asker and holder's blob that agree.
        missing: `asker holder digest` for what should be found and is not.
        stale: The same for what is found and should not be.
        seconds: Until that was so.
    """

    compared: int
    missing: list[str]
    stale: list[str]
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether all agree."""
        return not self.missing and not self.stale


def settle(subjects: Sequence[Subject], digests: Sequence[Digest], grace: float) -> Agreement:
    """Compares until all agree, for `grace` seconds at most."""
    start = time.monotonic()
    while True:
        stores = {subject.node.space.ipv4: _store(subject) for subject in subjects}
        with ThreadPoolExecutor(len(subjects)) as pool:
            found = list(pool.map(lambda subject: _found(subject, digests), subjects))
        names = {subject.node.space.ipv4: subject.name for subject in subjects}
        answers = dict(zip(names, found, strict=True))
        result = compare(stores, answers, names, time.monotonic() - start)
        if result.whole or result.seconds > grace:
            return result
        time.sleep(_PAUSE)


def compare(
    stores: Mapping[str, Store],
    answers: Mapping[str, Mapping[Digest, set[str]]],
    names: Mapping[str, str],
    seconds: float,
) -> Agreement:
    """Compares what each node finds with what the others hold; all by IP address."""
    compared, missing, stale = 0, [], []
    for asker, found in answers.items():
        for digest, holders in found.items():
            for address, store in stores.items():
                if address == asker:
                    continue
                pair = f"{names[asker]} {names[address]} {digest}"
                if digest in store.shared and address not in holders:
                    missing.append(pair)
                elif digest not in store.held and address in holders:
                    stale.append(pair)
                elif address in holders:
                    compared += 1
    return Agreement(compared, missing, stale, seconds)


def _found(subject: Subject, digests: Sequence[Digest]) -> dict[Digest, set[str]]:
    found = {}
    for digest in digests:
        answer = subject.node.spegla.tell(f"/find?name={digest}")
        found[digest] = {
            address for provider in answer["providers"] for address in provider["addresses"]
        }
    return found


def _store(subject: Subject) -> Store:
    async def shared() -> frozenset[Digest]:
        async with Containerd(subject.node.containerd.socket, "k8s.io") as client:
            return frozenset(
                content.digest
                for content in await client.content.list()
                if any(label.startswith(_SOURCE) for label in content.labels)
            )

    return Store(asyncio.run(shared()), frozenset(subject.node.containerd.blobs()))
