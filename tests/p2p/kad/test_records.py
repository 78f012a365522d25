from __future__ import annotations

import sys
import time
import tracemalloc
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.kad.ids import key_of
from p2p.kad.records import MAX_PER_KEY, TTL, Records
from p2p.port import PeerAddress
from tests.p2p.kad.network import address_of

KEYS = [key_of(str(number)) for number in range(8)]
PEERS = [address_of(number) for number in range(6)]


def swept(records: Records, now: float) -> None:
    for _ in range(2 * (records.keys + 2)):
        records.sweep(now, 2)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "withdraw", "forget", "sweep", "wait"]),
        st.sampled_from(KEYS),
        st.sampled_from(PEERS),
    ),
    max_size=80,
)


@settings(max_examples=200)
@given(OPERATIONS)
def test_records_hold_what_a_dict_of_dicts_holds(operations):
    records, model, now = Records(limit=12, limit_per_peer=5), {}, 100.0
    for name, key, peer in operations:
        match name:
            case "add":
                fits = len(model) < 12 and sum(p == peer.peer for _, p in model) < 5
                known = (key, peer.peer) in model
                assert records.add(key, peer, now) == (fits or known)
                if fits or known:
                    model[key, peer.peer] = now + TTL
            case "withdraw":
                records.withdraw(peer.peer, [key], now)
                model.pop((key, peer.peer), None)
                assert records.withdrawn(key, peer.peer)
            case "forget":
                records.forget(peer.peer)
                model = {record: ends for record, ends in model.items() if record[1] != peer.peer}
            case "wait":
                now += TTL / 3
                swept(records, now)
                model = {record: ends for record, ends in model.items() if ends > now}
            case "sweep":
                swept(records, now)
        for wanted in KEYS:
            expected = {peer for other, peer in model if other == wanted}
            assert {address.peer for address in records.get(wanted)} == expected
        assert len(records) == len(model)


def test_a_record_moves_with_its_provider():
    records = Records()
    records.add(KEYS[0], PEERS[0], 0)
    records.add(KEYS[1], PeerAddress(PEERS[0].peer, PEERS[1].addresses), 0)
    assert records.get(KEYS[0])[0].addresses == PEERS[1].addresses


def test_a_key_keeps_a_bounded_number_of_providers_the_newest():
    records = Records()
    for number in range(MAX_PER_KEY + 20):
        records.add(KEYS[0], address_of(number), number)
    held = {provider.peer for provider in records.get(KEYS[0])}
    assert len(held) == MAX_PER_KEY == len(records)
    assert address_of(0).peer not in held
    assert address_of(MAX_PER_KEY + 19).peer in held


def test_a_full_store_refuses_new_records_and_renews_old_ones():
    records = Records(limit=2)
    assert records.add(KEYS[0], PEERS[0], 0)
    assert records.add(KEYS[1], PEERS[0], 0)
    assert not records.add(KEYS[2], PEERS[1], 0)
    assert records.add(KEYS[0], PEERS[0], 10)
    assert records.get(KEYS[2]) == []


def test_withdrawn_records_are_remembered_until_they_would_have_ended():
    records = Records()
    records.withdraw(PEERS[0].peer, KEYS, 0)
    swept(records, TTL - 1)
    assert records.withdrawn(KEYS[0], PEERS[0].peer)
    swept(records, TTL + 1)
    assert not records.withdrawn(KEYS[0], PEERS[0].peer)


def test_a_withdrawn_record_that_is_provided_again_is_believed():
    records = Records()
    records.withdraw(PEERS[0].peer, KEYS, 0)
    records.add(KEYS[0], PEERS[0], 1)
    assert not records.withdrawn(KEYS[0], PEERS[0].peer)


@pytest.mark.parametrize(("peers", "most"), [(1, 220), (20, 40)])
def test_a_record_costs_few_bytes(peers, most):
    tracemalloc.start()
    records = Records()
    before = tracemalloc.get_traced_memory()[0]
    random = Random(1)
    for _ in range(20_000 // peers):
        key = b"\x12\x20" + random.randbytes(32)
        for number in range(peers):
            records.add(key, PEERS[0] if peers == 1 else address_of(number), 5.0)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert used / len(records) < most, f"{sys.version}: {used / len(records):.0f} bytes a record"


def test_5000_records_are_filed_in_well_under_a_second():
    records = Records()
    keys = [key_of(str(number)) for number in range(5000)]
    start = time.perf_counter()
    for key in keys:
        records.add(key, PEERS[0], 1.0)
    assert time.perf_counter() - start < 1.0
