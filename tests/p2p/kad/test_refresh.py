"""How tables fill, seen from the network."""

from __future__ import annotations

from p2p.kad.refresh import INTERVAL
from tests.p2p.kad.network import Network


def test_everyone_knows_everyone_in_a_small_network_soon_after_the_start():
    network = Network(seed=1)
    nodes = [network.add()]
    for _ in range(14):
        nodes.append(network.add(via=nodes[0]))
    network.run(1.0)
    assert {len(node.dht.table) for node in nodes} == {14}


def test_an_idle_network_is_quiet():
    network = Network(seed=2)
    network.cluster(5)
    before = network.messages
    network.run(INTERVAL / 2)
    assert network.messages - before == 0


def test_tables_are_refreshed_every_ten_minutes():
    network = Network(seed=3)
    nodes = network.cluster(5)
    before = nodes[0].dht.counts.lookups
    network.run(INTERVAL * 1.2)
    assert 1 <= nodes[0].dht.counts.lookups - before <= 20


def test_two_networks_that_meet_at_one_node_become_one():
    network = Network(seed=4)
    one = network.cluster(4)
    other = [network.add()]
    for _ in range(3):
        other.append(network.add(via=other[0]))
    network.run(15.0)
    other[2].dht.meet([one[1].address], network.now)
    network.run(INTERVAL * 1.5)
    assert {len(node.dht.table) for node in (*one, *other)} == {7}
