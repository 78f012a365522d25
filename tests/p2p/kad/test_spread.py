from __future__ import annotations

from random import Random

from p2p.kad.ids import key_of, place_of
from p2p.kad.spread import PARALLEL, Spread
from p2p.kad.table import K
from tests.p2p.kad.network import address_of

KEYS = [key_of(str(number)) for number in range(300)]


def nearest_of(peers, key, count=K):
    return sorted(peers, key=lambda a: place_of(a.peer) ^ place_of(key))[:count]


def test_a_whole_small_network_needs_no_lookup_and_gets_everything():
    peers = [address_of(number) for number in range(10)]
    spread = Spread(KEYS, peers, whole=True)
    assert spread.finished
    assert spread.next_target() is None
    assert {address: set(keys) for address, keys in spread.assignments()} == {
        peer: set(KEYS) for peer in peers
    }


def test_one_lookup_of_a_small_network_serves_all_keys():
    peers = [address_of(number) for number in range(10)]
    spread = Spread(KEYS, peers[:2], whole=False)
    spread.learned(spread.next_target(), peers)
    assert spread.finished
    assert len(spread.assignments()) == 10


def test_few_lookups_find_the_nearest_of_many_keys():
    peers = [address_of(number) for number in range(200)]
    spread = Spread(KEYS, Random(1).sample(peers, 60), whole=False)
    lookups = 0
    while not spread.finished:
        target = spread.next_target()
        spread.learned(target, nearest_of(peers, target))
        lookups += 1
    assert lookups < 60
    given = {(address, key) for address, keys in spread.assignments() for key in keys}
    right = {(peer, key) for key in KEYS for peer in nearest_of(peers, key)}
    assert len(given) == len(right)
    assert len(given & right) > 0.97 * len(right)


def test_lookups_under_way_at_once_are_few_and_apart():
    spread = Spread(KEYS, [], whole=False)
    targets = [spread.next_target() for _ in range(PARALLEL)]
    assert len({place_of(target) >> 254 for target in targets}) == PARALLEL
    assert spread.next_target() is None


def test_lookups_that_nobody_answers_come_to_an_end():
    spread = Spread(KEYS, [address_of(1)], whole=False)
    spread.learned(spread.next_target(), [])
    assert spread.finished
    assert [address for address, _ in spread.assignments()] == [address_of(1)]
