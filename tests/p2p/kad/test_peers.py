from __future__ import annotations

from itertools import pairwise

import pytest

from p2p.kad.absent import RETRY
from p2p.kad.commands import Ask
from p2p.kad.messages import answer, decode, find_node
from p2p.kad.outbox import Outbox
from p2p.kad.peers import MAX_FAILURES, MAX_RETRY, Peers
from p2p.port import KAD_PROTOCOL, LEAVE_PROTOCOL, PeerAddress, PeerConnected
from tests.p2p.kad.network import address_of

PEER = address_of(1)
REPLY = answer(decode(find_node(b"x")), [])


class Stage:
    """Peers, with the outbox played by hand."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.peers = Peers(address_of(0).peer, self.outbox)
        self.joined: list[bytes] = []
        self.peers.on_joined(lambda contact, now: self.joined.append(contact.address.peer))

    def asked(self) -> list[Ask]:
        return [command for command in self.outbox.drain() if isinstance(command, Ask)]

    def connect(self, address: PeerAddress = PEER, protocol: str = KAD_PROTOCOL) -> None:
        protocols = frozenset({protocol, LEAVE_PROTOCOL})
        self.peers.connected(PeerConnected(address, protocols, "agent"), 0.0)

    def settle(self, reply: bytes | None, now: float) -> None:
        for ask in self.asked():
            self.outbox.settle(ask.ticket, reply, now)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_connected_peer_enters_the_table_when_it_answers(stage):
    stage.connect()
    assert PEER.peer not in stage.peers.table
    stage.settle(REPLY, 0.5)
    contact = stage.peers.table.get(PEER.peer)
    assert (contact.agent, contact.ours, contact.latency) == ("agent", True, 0.5)
    assert stage.joined == [PEER.peer]


@pytest.mark.parametrize("reply", [None, b"\xff\xff"])
def test_a_peer_that_does_not_answer_well_stays_out(stage, reply):
    stage.connect()
    stage.settle(reply, 1.0)
    assert len(stage.peers.table) == 0
    assert stage.peers.dead(PEER.peer)


def test_a_peer_that_does_not_speak_kademlia_is_not_even_asked(stage):
    stage.connect(protocol="/other")
    assert stage.asked() == []


def test_a_peer_without_a_usable_address_stays_out(stage):
    stage.connect(PeerAddress(PEER.peer, (b"nonsense",)))
    stage.settle(REPLY, 0.5)
    assert len(stage.peers.table) == 0


def test_this_node_itself_is_nobody(stage):
    stage.connect(address_of(0))
    assert stage.asked() == []


def test_a_failing_contact_is_probed_ever_more_rarely_and_then_forgotten(stage):
    stage.connect()
    stage.settle(REPLY, 0.0)
    stage.peers.lost(PEER.peer, 0.0)
    probes, now = [], 0.0
    while PEER.peer in stage.peers.table:
        now += 1.0
        stage.peers.tick(now)
        for ask in stage.asked():
            probes.append(now)
            stage.outbox.settle(ask.ticket, None, now)
    assert probes[:4] == [1.0, 3.0, 7.0, 15.0]
    assert len(probes) == MAX_FAILURES
    assert max(b - a for a, b in pairwise(probes)) <= MAX_RETRY
    assert stage.peers.dead(PEER.peer)


def test_requests_that_fail_together_count_once(stage):
    stage.connect()
    stage.settle(REPLY, 0.0)
    for _ in range(50):
        stage.peers.lost(PEER.peer, 1.0)
    assert stage.peers.table.get(PEER.peer).failures == 1


def test_a_contact_that_answers_again_is_back_and_said_to_be(stage):
    stage.connect()
    stage.settle(REPLY, 0.0)
    stage.peers.lost(PEER.peer, 0.0)
    assert stage.peers.dead(PEER.peer)
    stage.peers.tick(1.0)
    stage.settle(REPLY, 1.0)
    assert not stage.peers.dead(PEER.peer)
    assert stage.joined == [PEER.peer] * 2


def test_who_is_heard_from_is_probed_at_once(stage):
    stage.connect()
    stage.settle(REPLY, 0.0)
    stage.peers.lost(PEER.peer, 0.0)
    stage.peers.heard_from(PEER.peer, 0.1)
    assert [ask.peer for ask in stage.asked()] == [PEER]


def test_a_lost_connection_is_followed_by_a_probe_and_no_lookups(stage):
    stage.connect()
    stage.settle(REPLY, 0.0)
    stage.peers.disconnected(PEER.peer, 1.0)
    assert list(stage.peers.worth_asking([PEER])) == []
    stage.settle(REPLY, 1.1)
    assert list(stage.peers.worth_asking([PEER])) == [PEER]
    assert stage.joined == [PEER.peer] * 2


def test_who_left_comes_back_only_by_a_new_connection(stage):
    stage.connect()
    late = stage.asked()[0]
    stage.peers.left(PEER.peer, 0.0)
    stage.outbox.settle(late.ticket, REPLY, 0.1)
    assert PEER.peer not in stage.peers.table
    assert list(stage.peers.worth_asking([PEER])) == []
    stage.connect()
    stage.settle(REPLY, 1.0)
    assert PEER.peer in stage.peers.table


def test_hearsay_that_did_not_answer_is_left_alone_for_a_while(stage):
    stage.peers.ask(PEER, b"", lambda *_: None, 0.0)
    stage.settle(None, 2.0)
    assert list(stage.peers.worth_asking([PEER])) == []
    stage.peers.tick(33.0)
    assert list(stage.peers.worth_asking([PEER])) == [PEER]


def test_hearsay_that_keeps_a_lookup_waiting_is_passed_over_until_it_answers(stage):
    stage.peers.ask(PEER, find_node(b"x"), lambda *_: None, 0.0)
    stage.peers.slow(PEER.peer)
    assert list(stage.peers.worth_asking([PEER])) == []
    assert not stage.peers.dead(PEER.peer)  # it may only be busy

    stage.settle(REPLY, 1.0)
    assert list(stage.peers.worth_asking([PEER])) == [PEER]


def test_only_connected_peers_of_our_kind_obey(stage):
    stage.connect()
    assert stage.peers.obeys(PEER.peer)
    assert stage.peers.obedient() == [PEER]
    stage.peers.disconnected(PEER.peer, 1.0)
    assert not stage.peers.obeys(PEER.peer)


def test_who_left_and_is_named_by_others_is_looked_at_again(stage):
    stage.connect()
    stage.settle(REPLY, 0.0)
    stage.peers.left(PEER.peer, 0.0)
    stage.peers.disconnected(PEER.peer, 0.1)
    stage.peers.named(PEER, 1.0)
    assert not stage.asked()
    stage.peers.named(PEER, RETRY)
    stage.peers.named(PEER, RETRY + 1)
    assert stage.peers.dead(PEER.peer)
    stage.settle(REPLY, RETRY + 1)
    assert not stage.peers.dead(PEER.peer)
    assert PEER.peer in stage.peers.table
