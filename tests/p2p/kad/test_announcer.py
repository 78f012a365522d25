"""When keys are told to whom, seen from the network."""

from __future__ import annotations

from p2p.kad.announcer import PUSH_INTERVAL
from p2p.kad.ids import key_of
from tests.p2p.kad.network import Network

KEYS = [key_of(str(number)) for number in range(200)]


def test_keys_provided_before_there_are_peers_reach_the_first():
    network = Network(seed=1)
    node = network.add()
    network.do(node, node.dht.provide(KEYS, network.now))
    peer = network.add(via=node)
    network.run(1.0)
    assert all(peer.dht.known(key) for key in KEYS)


def test_providing_again_sends_nothing():
    network = Network(seed=2)
    node, peer = network.cluster(2)
    network.do(node, node.dht.provide(KEYS, network.now))
    network.run(0.5)
    before = peer.dht.counts.served
    network.do(node, node.dht.provide(KEYS, network.now))
    assert peer.dht.counts.served == before


def test_a_peer_that_comes_and_goes_is_handed_the_keys_now_and_then_only():
    network = Network(seed=3)
    node, peer = network.cluster(2)
    network.do(node, node.dht.provide(KEYS, network.now))
    network.run(PUSH_INTERVAL)
    before = network.messages
    for _ in range(5):
        network.kill(peer)
        network.run(0.5)
        network.restart(peer, via=node)
        network.run(2.0)
    assert network.messages - before < 3 * len(KEYS)
    network.run(PUSH_INTERVAL)
    assert all(peer.dht.known(key) for key in KEYS)


def test_withdrawing_what_was_never_provided_is_done_at_once():
    network = Network(seed=4)
    node, _ = network.cluster(2)
    assert network.do(node, node.dht.withdraw(KEYS, network.now)) == 0.0


def test_keys_withdrawn_while_they_are_handed_over_are_not_sent():
    network = Network(seed=5)
    node = network.cluster(2)[0]
    node.dht.provide(KEYS, network.now)
    assert len(node.dht.announcements(KEYS)) == len(KEYS)
    node.dht.withdraw(KEYS[:50], network.now)
    assert len(node.dht.announcements(KEYS)) == len(KEYS) - 50


def test_a_node_that_has_left_announces_nothing():
    network = Network(seed=6)
    node, peer = network.cluster(2)
    network.do(node, node.dht.provide(KEYS, network.now))
    network.do(node, node.dht.leave(network.now))
    network.do(node, node.dht.provide(KEYS, network.now))
    network.run(60.0)
    assert peer.dht.counts.records == 0


def test_leaving_a_network_of_strangers_takes_no_time():
    network = Network(seed=7)
    node = network.add()
    network.add(via=node, ours=False)
    network.run(5.0)
    assert network.do(node, node.dht.leave(network.now)) == 0.0


def test_a_newcomer_in_a_large_network_gets_only_what_it_should_hold():
    network = Network(seed=8)
    nodes = network.cluster(50, gap=0.02)
    network.do(nodes[3], nodes[3].dht.provide(KEYS, network.now))
    late = network.add(via=nodes[0])
    network.run(10.0)
    held = sum(bool(late.dht.known(key)) for key in KEYS)
    assert 0.2 * len(KEYS) < held < 0.7 * len(KEYS)


def test_a_peer_forgets_what_a_killed_node_provided_before():
    network = Network(seed=9)
    node, peer, other = network.cluster(3)
    network.do(node, node.dht.provide(KEYS, network.now))
    network.kill(node)
    network.run(1.0)
    network.restart(node, via=peer)
    network.do(node, node.dht.provide(KEYS[:5], network.now))
    network.run(PUSH_INTERVAL + 5.0)
    for holder in peer, other:
        assert [bool(holder.dht.known(key)) for key in KEYS] == [key in KEYS[:5] for key in KEYS]


def test_a_peer_that_missed_a_withdrawal_hears_of_it_when_it_is_back():
    network = Network(seed=10)
    node, peer, other = network.cluster(3)
    network.do(node, node.dht.provide(KEYS, network.now))
    peer.silent = True
    network.do(node, node.dht.withdraw(KEYS[5:], network.now))
    network.run(3.0)
    peer.silent = False
    network.run(2 * PUSH_INTERVAL)
    for holder in peer, other:
        assert [bool(holder.dht.known(key)) for key in KEYS] == [key in KEYS[:5] for key in KEYS]
