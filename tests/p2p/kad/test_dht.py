"""Whole nodes in the simulated network: what a user of the DHT sees."""

from __future__ import annotations

import pytest

from p2p.kad.ids import key_of, place_of
from p2p.port import PeerAddress
from tests.p2p.kad.network import Network, Node

KEYS = [key_of(f"docker.io/library/image:{number}") for number in range(40)]


@pytest.fixture(scope="module")
def large() -> tuple[Network, list[Node]]:
    """150 settled nodes of which one provides `KEYS`."""
    network = Network(seed=2)
    nodes = network.cluster(150, gap=0.02)
    network.do(nodes[100], nodes[100].dht.provide(KEYS, network.now))
    network.run(0.1)
    return network, nodes


def everywhere(network: Network, nodes: list[Node], holder: Node, keys=KEYS) -> None:
    for node in nodes:
        if node is not holder:
            for key in keys:
                found, _ = network.find(node, key)
                assert found | {p.peer for p in node.dht.known(key)} == {holder.address.peer}


@pytest.mark.parametrize("size", [2, 3, 20])
def test_every_node_finds_every_key_in_its_own_records(size):
    network = Network(seed=size)
    nodes = network.cluster(size)
    network.do(nodes[-1], nodes[-1].dht.provide(KEYS, network.now))
    network.run(0.1)
    for node in nodes[:-1]:
        for key in KEYS:
            assert [p.peer for p in node.dht.known(key)] == [nodes[-1].address.peer]


def test_every_key_is_found_through_the_network_of_20():
    network = Network(seed=1)
    nodes = network.cluster(20)
    network.do(nodes[3], nodes[3].dht.provide(KEYS, network.now))
    network.run(0.1)
    everywhere(network, nodes, nodes[3])


def test_every_key_is_found_in_a_network_of_150(large):
    network, nodes = large
    for asker in network.random.sample(nodes[:150], 20):
        for key in KEYS[:10]:
            found, seconds = network.find(asker, key)
            assert found == {nodes[100].address.peer}
            assert seconds < 0.05


def test_records_in_a_network_of_150_lie_with_the_nearest(large):
    _, nodes = large
    for key in KEYS:
        near = sorted(nodes, key=lambda node: place_of(node.address.peer) ^ place_of(key))
        assert sum(bool(node.dht.known(key)) for node in near[:20]) >= 18
        assert sum(bool(node.dht.known(key)) for node in nodes) <= 30


def test_silent_nodes_in_a_network_of_150_cost_a_lookup_a_quarter_second(large):
    network, nodes = large
    for node in nodes[100:120]:
        node.silent = True
    for asker in nodes[1:6]:
        for key in KEYS[:5]:
            found, seconds = network.find(asker, key)
            assert found == {nodes[100].address.peer}
            assert seconds < 0.4
    for node in nodes[100:120]:
        node.silent = False


def test_a_late_joiner_knows_old_keys_at_once():
    network = Network(seed=3)
    nodes = network.cluster(5)
    for node in nodes:
        network.do(node, node.dht.provide(KEYS, network.now))
    late = network.add(via=nodes[0])
    network.run(1.0)
    for key in KEYS:
        assert {p.peer for p in late.dht.known(key)} == {n.address.peer for n in nodes}


def test_a_node_that_restarts_gets_its_records_back():
    network = Network(seed=4)
    nodes = network.cluster(5)
    network.do(nodes[1], nodes[1].dht.provide(KEYS, network.now))
    network.run(40.0)
    network.kill(nodes[4])
    network.run(2.0)
    network.restart(nodes[4], via=nodes[0])
    network.run(5.0)
    assert all(nodes[4].dht.known(key) for key in KEYS)


def test_a_node_that_leaves_is_not_returned_any_more():
    network = Network(seed=5)
    nodes = network.cluster(8)
    for node in nodes[:2]:
        network.do(node, node.dht.provide(KEYS, network.now))
    network.run(0.1)
    assert network.do(nodes[0], nodes[0].dht.leave(network.now)) <= 1.0
    network.kill(nodes[0])
    network.run(1.0)
    for node in nodes[2:]:
        assert nodes[0].address.peer not in node.dht.table
    everywhere(network, nodes[2:], nodes[1])


def test_a_withdrawn_key_is_not_returned_any_more():
    network = Network(seed=6)
    nodes = network.cluster(8)
    network.do(nodes[0], nodes[0].dht.provide(KEYS, network.now))
    network.do(nodes[0], nodes[0].dht.withdraw(KEYS[:5], network.now))
    network.run(1.0)
    for key in KEYS[:5]:
        assert network.find(nodes[7], key)[0] == set()
        assert nodes[7].dht.known(key) == []
    everywhere(network, nodes, nodes[0], KEYS[5:])


def test_a_withdrawn_key_is_not_believed_from_nodes_that_keep_it():
    network = Network(seed=7)
    nodes = network.cluster(4)
    go = network.add(via=nodes[0], ours=False)
    network.run(5.0)
    network.do(nodes[0], nodes[0].dht.provide(KEYS, network.now))
    network.do(nodes[0], nodes[0].dht.withdraw(KEYS, network.now))
    assert go.dht.known(KEYS[0])
    assert network.find(nodes[1], KEYS[0])[0] == set()


def test_a_key_provided_again_right_after_its_withdrawal_is_found():
    network = Network(seed=8)
    nodes = network.cluster(6)
    network.do(nodes[0], nodes[0].dht.provide(KEYS, network.now))
    nodes[0].dht.withdraw(KEYS, network.now)
    network.do(nodes[0], nodes[0].dht.provide(KEYS, network.now))
    network.run(0.1)
    everywhere(network, nodes, nodes[0])


def test_a_key_withdrawn_right_after_it_was_provided_is_gone():
    network = Network(seed=9)
    nodes = network.cluster(6)
    nodes[0].dht.provide(KEYS, network.now)
    network.do(nodes[0], nodes[0].dht.withdraw(KEYS, network.now))
    network.run(1.0)
    assert all(node.dht.known(key) == [] for node in nodes for key in KEYS)


def test_a_killed_node_costs_nothing_and_is_not_returned():
    network = Network(seed=10)
    nodes = network.cluster(10)
    network.do(nodes[9], nodes[9].dht.provide(KEYS, network.now))
    network.kill(nodes[9])
    network.run(0.1)
    for key in KEYS[:5]:
        found, seconds = network.find(nodes[0], key)
        assert found == set()
        assert seconds < 0.02
        assert nodes[0].dht.known(key) == []


def test_a_killed_node_that_comes_back_is_returned_again():
    network = Network(seed=11)
    nodes = network.cluster(5)
    network.do(nodes[4], nodes[4].dht.provide(KEYS, network.now))
    network.kill(nodes[4])
    network.run(2.0)
    network.restart(nodes[4], via=nodes[0])
    network.do(nodes[4], nodes[4].dht.provide(KEYS, network.now))
    network.run(3.0)
    assert [p.peer for p in nodes[0].dht.known(KEYS[0])] == [nodes[4].address.peer]


@pytest.mark.parametrize("silent", [1, 5])
def test_silent_nodes_cost_one_lookup_a_quarter_second_and_the_next_nothing(silent):
    network = Network(seed=12)
    nodes = network.cluster(20)
    network.do(nodes[0], nodes[0].dht.provide(KEYS, network.now))
    for node in nodes[10 : 10 + silent]:
        node.silent = True
    found, seconds = network.find(nodes[1], KEYS[0])
    assert found == {nodes[0].address.peer}
    assert 0.2 < seconds < 0.26
    for key in KEYS[1:6]:
        found, seconds = network.find(nodes[1], key)
        assert found == {nodes[0].address.peer}
        assert seconds < 0.02
    network.run(5.0)
    assert network.find(nodes[1], KEYS[7])[1] < 0.02


def test_nodes_are_forgotten_when_they_stay_away():
    network = Network(seed=14)
    nodes = network.cluster(4)
    network.kill(nodes[3])
    network.run(600.0)
    assert all(nodes[3].address.peer not in node.dht.table for node in nodes[:3])


def test_lossy_networks_still_find_every_key():
    network = Network(seed=15, loss=0.02)
    nodes = network.cluster(20)
    network.run(60.0)
    network.do(nodes[0], nodes[0].dht.provide(KEYS, network.now))
    network.run(60.0)
    everywhere(network, nodes[5:8], nodes[0])


def test_records_are_renewed_before_they_end():
    network = Network(seed=16)
    nodes = network.cluster(4)
    network.do(nodes[0], nodes[0].dht.provide(KEYS, network.now))
    for _ in range(3):
        network.run(15 * 60.0)
        assert all(nodes[1].dht.known(key) for key in KEYS)


def test_renewing_goes_on_in_small_parts():
    network = Network(seed=17)
    nodes = network.cluster(2)
    keys = [key_of(str(number)) for number in range(1000)]
    network.do(nodes[0], nodes[0].dht.provide(keys, network.now))
    most = 0
    for _ in range(15 * 60):
        before = network.messages
        network.run(1.0)
        most = max(most, network.messages - before)
    assert most < 60


def test_records_of_a_node_that_does_not_renew_them_end():
    network = Network(seed=18)
    nodes = network.cluster(3)
    network.do(nodes[0], nodes[0].dht.provide(KEYS, network.now))
    network.kill(nodes[0])
    network.run(21 * 60.0)
    assert nodes[1].dht.counts.records == 0


def test_a_lookup_without_any_peer_ends_at_once():
    network = Network(seed=19)
    node = network.add()
    assert network.find(node, KEYS[0]) == (set(), 0.0)


def test_keys_withdrawn_and_provided_again_are_found_by_every_node():
    network = Network(seed=21)
    nodes = network.cluster(60)  # of a withdrawal 40 hear, of a new record 20
    key, provider = key_of("again"), nodes[5]
    network.do(provider, provider.dht.provide([key], network.now))
    network.do(provider, provider.dht.withdraw([key], network.now))
    assert not any(network.find(node, key)[0] for node in nodes)
    network.do(provider, provider.dht.provide([key], network.now))
    network.run(1.0)
    assert all(
        network.find(node, key)[0] == {provider.address.peer}
        for node in nodes
        if node is not provider
    )


def test_keys_provided_without_an_address_are_told_as_soon_as_there_is_one():
    network = Network(seed=22)
    nodes = network.cluster(5)
    address, nodes[1].dht.local = nodes[1].address, PeerAddress(nodes[1].address.peer, ())
    network.do(nodes[1], nodes[1].dht.provide(KEYS, network.now))
    network.run(2.0)
    assert not any(nodes[0].dht.known(key) for key in KEYS)
    nodes[1].dht.local = address
    network.run(2.0)
    everywhere(network, nodes, nodes[1])
