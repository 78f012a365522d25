from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from p2p.kad.ids import place_of, shared_bits
from p2p.kad.messages import peer_message
from p2p.kad.table import K, Table
from p2p.port import PeerAddress
from tests.p2p.kad.network import address_of

LOCAL = address_of(0).peer


def filled(count: int, bucket: int | None = None) -> Table:
    table = Table(LOCAL, bucket, bucket) if bucket else Table(LOCAL)
    for number in range(1, count + 1):
        table.add(address_of(number))
    return table


@given(numbers=st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=150))
def test_the_table_holds_what_a_simple_model_holds(numbers):
    table, model = Table(LOCAL, 4, 4), {}
    for number, adding in numbers:
        address = address_of(number)
        if adding and address.peer not in model:
            bucket = shared_bits(place_of(address.peer), place_of(LOCAL))
            full = sum(held == bucket for held in model.values()) >= 4
            assert (table.add(address) is None) == full
            if not full:
                model[address.peer] = bucket
        elif not adding:
            table.remove(address.peer)
            model.pop(address.peer, None)
        assert {contact.address.peer for contact in table} == set(model)
        assert len(table) == len(model)
        assert table.depth == max(model.values(), default=-1) + 1


def test_closest_are_the_nearest_of_all():
    table = filled(100)
    random = Random(1)
    for _ in range(50):
        place = random.getrandbits(256)
        expected = sorted(table, key=lambda contact: contact.place ^ place)[:K]
        assert table.closest(place) == expected


def test_closest_passes_over_those_that_fail_or_are_slow():
    table = filled(10)
    first, second, *others = table.closest(7)
    first.failures = 1
    second.slow = True
    assert table.closest(7) == others


def test_when_all_are_slow_they_are_as_good_as_any():
    table = filled(5)
    for contact in table:
        contact.slow = True
    next(iter(table)).failures = 1
    assert len(table.closest(7)) == 4


def test_a_full_bucket_keeps_the_old_that_answer():
    table = filled(200, bucket=3)
    before = {contact.address.peer for contact in table}
    for number in range(200, 300):
        table.add(address_of(number))
    assert before <= {contact.address.peer for contact in table}


def test_a_failing_contact_makes_room_in_a_full_bucket():
    table = filled(200, bucket=3)
    failing = next(iter(table))
    failing.failures = 1
    number = 1000
    while table.get(failing.address.peer) is not None:
        number += 1
        table.add(address_of(number))
    assert table.get(address_of(number).peer) is not None


def test_a_hundred_nodes_fit_and_of_many_more_the_table_stays_small():
    assert len(filled(100)) == 100
    assert filled(100).complete
    large = filled(5000)
    assert not large.complete
    assert len(large) < 260


def test_a_contact_that_moves_is_named_at_its_new_address():
    (contact,) = filled(1)
    moved = PeerAddress(contact.address.peer, address_of(9).addresses)
    contact.move(PeerAddress(contact.address.peer, ()))
    assert contact.address == address_of(1)
    contact.move(moved)
    assert contact.wire == peer_message(moved)
