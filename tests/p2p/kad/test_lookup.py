from __future__ import annotations

from p2p.kad.ids import place_of
from p2p.kad.lookup import ALPHA, HEDGE, PATIENCE, Lookup
from p2p.kad.table import K
from tests.p2p.kad.network import address_of

PEERS = sorted((address_of(number) for number in range(60)), key=lambda a: place_of(a.peer))
"""In the order of their distance from place 0."""


def test_the_nearest_are_asked_first_and_only_so_many_at_once():
    lookup = Lookup(0, PEERS[5:40])
    assert lookup.next(0.0) == PEERS[5 : 5 + ALPHA]
    assert lookup.next(0.0) == []
    lookup.answered(PEERS[5].peer)
    assert lookup.next(0.0) == [PEERS[5 + ALPHA]]


def test_a_nearer_peer_that_is_heard_of_goes_first():
    lookup = Lookup(0, PEERS[20:40])
    lookup.next(0.0)
    lookup.answered(PEERS[20].peer)
    lookup.add([PEERS[2], PEERS[30], PEERS[2]])
    assert lookup.next(0.0) == [PEERS[2]]


def test_it_ends_when_the_k_nearest_have_answered():
    lookup = Lookup(0, PEERS)
    asked = []
    while new := lookup.next(0.0):
        asked += new
        for address in new:
            lookup.answered(address.peer)
    assert lookup.finished
    assert asked == PEERS[:K] == lookup.closest()


def test_failed_peers_are_replaced_by_farther_ones():
    lookup = Lookup(0, PEERS)
    while new := lookup.next(0.0):
        for address in new:
            if address in PEERS[:3]:
                lookup.failed(address.peer)
            else:
                lookup.answered(address.peer)
    assert lookup.finished
    assert lookup.closest() == PEERS[3 : K + 3]


def test_silent_peers_give_up_their_turn_early_and_are_waited_for_a_little():
    lookup = Lookup(0, PEERS[:15])
    lookup.next(0.0)
    assert lookup.deadline == HEDGE
    assert lookup.expire(HEDGE) == []
    assert lookup.next(HEDGE) == PEERS[10:15]
    for address in PEERS[10:15]:
        lookup.answered(address.peer)
    assert not lookup.finished
    assert lookup.deadline == PATIENCE
    assert lookup.expire(PATIENCE) == [address.peer for address in PEERS[:10]]
    assert lookup.finished
    assert lookup.closest() == PEERS[10:15]


def test_a_late_answer_counts():
    lookup = Lookup(0, PEERS[:2])
    lookup.next(0.0)
    lookup.answered(PEERS[0].peer)
    lookup.expire(PATIENCE)
    lookup.answered(PEERS[1].peer)
    assert lookup.closest() == PEERS[:2]


def test_stragglers_farther_out_than_the_k_nearest_are_not_waited_for():
    lookup = Lookup(0, PEERS[30:40])
    lookup.next(0.0)
    lookup.answered(PEERS[30].peer)
    lookup.add(PEERS[:K])
    lookup.expire(HEDGE)
    while new := lookup.next(HEDGE):
        for address in new:
            lookup.answered(address.peer)
    assert lookup.finished


def test_a_lookup_without_seeds_is_over():
    lookup = Lookup(0, [])
    assert lookup.next(0.0) == []
    assert lookup.finished
    assert lookup.deadline == float("inf")
