"""The whole transfer layer, from `Transfer` down to the socket, under any schedule of peer faults.

In virtual time, with the real bounds of `Limits`: whatever peers do, a pull ends in right bytes, a
clean break or a 404 within the bounds, and leaves nothing behind. `CHAOS_EXAMPLES=5000` tries
more schedules than a usual run does, and new ones each time.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from mirror.errors import NotHere
from mirror.metrics import Metrics
from mirror.oci.digest import Digest
from mirror.oci.ranges import RangeRequest
from mirror.store.memory import MemoryStore
from mirror.transfer.client import PeerClient
from mirror.transfer.elsewhere import Peers
from mirror.transfer.found import MemoryBody
from mirror.transfer.limits import Limits
from mirror.transfer.peers import PeerBook
from mirror.transfer.relay import BrokenOff, Relay
from mirror.transfer.remote import Remote
from mirror.transfer.transfer import Transfer
from mirror.transfer.wanted import Kind, Wanted
from tests.mirror.loopback import DictNetwork
from tests.mirror.sample import make_sample
from tests.mirror.scripted_peer import (
    Asked,
    Behaviour,
    ScriptedPeer,
    answering,
    cut_after,
    hanging_after,
    hanging_up,
    holding,
    late,
    lying,
    raw,
    silent,
    trickling,
)
from tests.mirror.virtual import Accept, VirtualLoop

EXAMPLES = int(os.environ.get("CHAOS_EXAMPLES", "0"))
USUAL = settings(
    max_examples=EXAMPLES or 200,
    stateful_step_count=25,
    deadline=None,
    derandomize=not EXAMPLES,
    suppress_health_check=list(HealthCheck),
)

# The sizes are small and the rest is real: small and large blobs, read inline and in threads.
LIMITS = replace(Limits(), verified_first=200_000, chunk=150_000, in_memory=400_000)
LARGE = random.Random(1).randbytes(700_000)
SMALL = random.Random(2).randbytes(180_000)
MANIFEST = make_sample(1000).manifest
CONTENT = {Digest.of(data): data for data in (LARGE, SMALL, MANIFEST)}
TAG = "docker.io/library/x:1"

HOLDERS = [f"10.0.0.{number}" for number in range(1, 5)]

ONE_BAD_PEER = 6.0
"""Seconds that a pull may take longer for one bad peer (see `Limits`)."""

FIRST_BYTE = LIMITS.whole
ROUND = LIMITS.search + 2 * LIMITS.stall + 1.0
"""Seconds until a body goes on at another peer: the fault is noticed, and somebody found."""

LONGEST_SHUN = 61.0

Accepted = Callable[[Accept], Awaitable[Accept]]


@dataclass(frozen=True)
class Fault:
    """What a peer does: to connections, then to requests for `data`."""

    name: str
    behave: Callable[[bytes], Behaviour] = field(repr=False)
    connects: str = "yes"
    lies: bool = False


def at(share: float, data: bytes) -> int:
    """A place in `data`, from its first byte to its last."""
    return min(int(share * len(data)), len(data) - 1)


GOOD = Fault("good", holding)
ALWAYS = [
    GOOD,
    Fault("refuses", holding, connects="refused"),
    Fault("drops", holding, connects="dropped"),
    *(Fault(f"answers {status}", lambda _, s=status: answering(s)) for status in (404, 429, 500)),
    Fault("answers 503", lambda _: answering(503)),
    Fault("silent", lambda _: silent),
    Fault("hangs up", lambda _: hanging_up),
    Fault("speaks nonsense", lambda _: raw(b"nonsense\r\n\r\n")),
]
shares = st.floats(0.0, 1.0, exclude_max=True)
faults = st.one_of(
    st.sampled_from(ALWAYS),
    shares.map(lambda x: Fault(f"hangs at {x}", lambda d: hanging_after(d, at(x, d)))),
    shares.map(lambda x: Fault(f"cuts at {x}", lambda d: cut_after(d, at(x, d)))),
    shares.map(lambda x: Fault(f"lies at {x}", lambda d: lying(d, at(x, d)), lies=True)),
    shares.map(
        lambda x: Fault(f"trickles at {x}", lambda d: trickling(d, 100, 0.1, after=at(x, d)))
    ),
    st.just(Fault("slow", lambda d: trickling(d, 20_000, 0.05))),
    st.floats(0.01, 12.0).map(lambda s: Fault(f"late by {s}", lambda d: late(s, holding(d)))),
)
ranges = st.none() | st.tuples(shares, st.none() | shares)
wants = st.sampled_from(
    [
        *(Wanted(Kind.BLOB, "docker.io", "library/x", Digest.of(d), None) for d in (LARGE, SMALL)),
        Wanted(Kind.MANIFEST, "docker.io", "library/x", Digest.of(MANIFEST), None),
        Wanted(Kind.MANIFEST, "docker.io", "library/x", None, "1"),
    ]
)


class World:
    """One node, and the peers that its network names."""

    def __init__(self) -> None:
        self.loop = VirtualLoop(self._connect)
        self.faults = dict.fromkeys(HOLDERS, GOOD)
        self.peers = {address: ScriptedPeer(address, self._behave) for address in HOLDERS}
        self.network = DictNetwork()
        self.book = PeerBook()
        self.lied = False
        # Never started: the loop runs what is meant for threads by itself.
        executor = ThreadPoolExecutor(1)
        self.client = PeerClient(
            self.book,
            port=5000,
            tls=None,
            executor=executor,
            limits=LIMITS,
            clock=self.loop.time,
            agent="spegla/test",
        )
        remote = Remote(self.client, self.network, Metrics())
        self.budget = remote._budget
        self.transfer = Transfer(MemoryStore(ready=True), Peers(remote), lambda _: True)
        for address in HOLDERS:
            self.name(address, "known")

    def name(self, address: str, by: str) -> None:
        """Has the network name a peer for everything: `known`, `walked` or not at all."""
        for key in (*CONTENT, TAG):
            for table in self.network.known_holders, self.network.walked_holders:
                if address in table[key]:
                    table[key].remove(address)
            if by == "known":
                self.network.known_holders[key].append(address)
            elif by == "walked":
                self.network.walked_holders[key].append(address)

    def change(self, address: str, fault: Fault) -> None:
        self.faults[address] = fault
        self.lied |= fault.lies

    async def pull(self, wanted: Wanted, asked: RangeRequest | None) -> bytes | None:
        """The bytes, once they are known to be right; None for a 404 or a clean break."""
        whole = MANIFEST if wanted.digest is None else CONTENT[wanted.digest]
        span = (asked or RangeRequest(0, None)).resolve(len(whole))
        right = whole[span.start : span.stop]
        # A part of a large blob cannot be checked here; containerd does so when it commits.
        checkable = len(whole) <= LIMITS.verified_first or span.length == len(whole)
        started = self.loop.time()
        try:
            found = await self.transfer.open(wanted, asked)
        except NotHere:
            assert self.loop.time() - started <= FIRST_BYTE + 0.1
            return None
        got = bytearray()
        try:
            assert self.loop.time() - started <= FIRST_BYTE + 0.1
            assert found.span == span
            if isinstance(found.body, MemoryBody):
                got += found.body.data
            else:
                assert isinstance(found.body, Relay)
                async with aclosing(found.body.chunks()) as chunks:
                    async for chunk in chunks:
                        got += chunk
        except BrokenOff:
            assert len(got) < len(right)
            assert self.lied or right.startswith(got)
            return None
        else:
            assert len(got) == len(right)
            assert got == right or (self.lied and not checkable)
            return bytes(got)
        finally:
            found.release()
            bound = FIRST_BYTE + len(HOLDERS) * (ROUND + len(whole) / 100_000)
            assert self.loop.time() - started <= bound

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def nothing_left(self) -> None:
        """Fails unless everything was given back."""
        assert self.book.running == 0
        assert self.budget.used == 0
        self.client.close()
        self.run(15.0)  # for peers that are late
        assert self.loop.leftovers() == set()
        assert [peer.open for peer in self.peers.values()] == [0] * len(HOLDERS)

    def close(self) -> None:
        """Ends what a failed test has left."""
        self.client.close()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.close()

    async def _connect(self, address: str) -> Accept:
        await asyncio.sleep(0.0002)
        match self.faults[address].connects:
            case "refused":
                raise ConnectionRefusedError("simulated")
            case "dropped":
                await asyncio.sleep(1000)
        return self.peers[address].serve

    async def _behave(self, asked: Asked) -> None:
        address = asked.headers["host"].partition(":")[0]
        name = asked.target.partition("?")[0].rpartition("/")[2]
        data = MANIFEST if name == "1" else CONTENT[Digest.parse(name)]
        await asyncio.sleep(0.0005)
        await self.faults[address].behave(data)(asked)


def span(whole: bytes, part: tuple[float, float | None] | None) -> RangeRequest | None:
    """A range inside `whole`, from shares of it."""
    if part is None:
        return None
    first = at(part[0], whole)
    last = None if part[1] is None else first + at(part[1], whole[first:])
    return RangeRequest(first, last)


class Chaos(RuleBasedStateMachine):
    """Peers change, come, go and lie while pulls run, are begun and are given up."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.pulls: list[asyncio.Task[bytes | None]] = []

    @rule(address=st.sampled_from(HOLDERS), fault=faults)
    def change(self, address: str, fault: Fault) -> None:
        self.world.change(address, fault)

    @rule(
        address=st.sampled_from(HOLDERS), by=st.sampled_from(["known", "known", "walked", "nobody"])
    )
    def name(self, address: str, by: str) -> None:
        self.world.name(address, by)

    @rule(wanted=wants, part=ranges)
    def pull(self, wanted: Wanted, part: tuple[float, float | None] | None) -> None:
        whole = MANIFEST if wanted.digest is None else CONTENT[wanted.digest]
        pull = self.world.pull(wanted, span(whole, part))
        self.pulls.append(self.world.loop.create_task(pull))

    @rule(seconds=st.sampled_from([0.0001, 0.001, 0.01, 0.1, 0.5, 2.0, 7.0, 30.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(number=st.integers(0, 30))
    def give_up(self, number: int) -> None:
        if self.pulls:
            self.pulls[number % len(self.pulls)].cancel()

    def teardown(self) -> None:
        with closing(self.world) as world:
            for pull in self.pulls:
                with suppress(asyncio.CancelledError):
                    world.loop.run_until_complete(pull)
            for address in HOLDERS:
                world.name(address, "known")
                world.change(address, GOOD)
            world.run(LONGEST_SHUN)  # all are forgiven in the end
            for data in LARGE, SMALL, MANIFEST:
                kind = Kind.MANIFEST if data is MANIFEST else Kind.BLOB
                wanted = Wanted(kind, "docker.io", "library/x", Digest.of(data), None)
                assert world.loop.run_until_complete(world.pull(wanted, None)) == data
            world.nothing_left()


def test_any_schedule_of_faults_ends_in_right_bytes_a_clean_break_or_404_in_time() -> None:
    run_state_machine_as_test(Chaos, settings=USUAL)  # type: ignore[no-untyped-call]


@settings(USUAL, max_examples=EXAMPLES or 300)
@given(faults, wants, ranges)
def test_one_bad_peer_costs_six_seconds_at_most(
    fault: Fault, wanted: Wanted, part: tuple[float, float | None] | None
) -> None:
    with closing(World()) as world:
        bad, *others = HOLDERS
        world.change(bad, fault)
        for address in others[1:]:
            world.name(address, "nobody")
        world.book.answered(bad, 0.0001)  # so that it is asked first
        whole = MANIFEST if wanted.digest is None else CONTENT[wanted.digest]
        first = world.loop.run_until_complete(world.pull(wanted, span(whole, part)))
        assert world.loop.time() <= ONE_BAD_PEER
        assert first is not None or fault.lies
        # containerd asks again after a clean break; a lie in part of a blob shows only then.
        second, third = (world.loop.run_until_complete(world.pull(wanted, None)) for _ in range(2))
        assert second == whole or fault.lies
        assert third == whole
        world.nothing_left()


@pytest.mark.parametrize("bad", [1, 2, 3])
def test_silent_peers_cost_a_moment(bad: int) -> None:
    with closing(World()) as world:
        for address in HOLDERS[:bad]:
            world.change(address, Fault("silent", lambda _: silent))
            world.book.answered(address, 0.0001)
        wanted = Wanted(Kind.BLOB, "docker.io", "library/x", Digest.of(LARGE), None)
        assert world.loop.run_until_complete(world.pull(wanted, None)) == LARGE
        assert world.loop.time() <= 1.0
        world.nothing_left()


def test_small_blob_in_which_all_peers_hang_is_given_up_in_time() -> None:
    with closing(World()) as world:
        for address in HOLDERS:
            world.change(address, Fault("hangs", lambda data: hanging_after(data, 1000)))
        wanted = Wanted(Kind.BLOB, "docker.io", "library/x", Digest.of(SMALL), None)
        assert world.loop.run_until_complete(world.pull(wanted, None)) is None
        assert world.loop.time() <= FIRST_BYTE + 0.1
        world.nothing_left()
