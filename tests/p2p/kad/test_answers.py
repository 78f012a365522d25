"""What a node answers, to the well-behaved and to the others."""

from __future__ import annotations

import contextlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.kad.answers import MAX_PROVIDERS
from p2p.kad.dht import Dht
from p2p.kad.ids import key_of
from p2p.kad.messages import (
    add_provider,
    decode,
    find_node,
    get_providers,
    peers_in,
    withdrawal,
)
from p2p.kad.pb.dht_pb2 import Message
from p2p.port import KAD_PROTOCOL, BadMessage, PeerAddress, PeerConnected, PeerDisconnected
from tests.p2p.kad.network import Network, address_of

KEY = key_of("sha256:aa")
ASKER = address_of(900)


@pytest.fixture
def dht() -> Dht:
    network = Network(seed=1)
    return network.cluster(6)[0].dht


def ask(dht: Dht, message: bytes, sender: PeerAddress = ASKER) -> Message:
    answer = dht.request(sender, message, 2000.0)
    assert answer is not None
    return decode(answer)


def add(dht: Dht, sender: PeerAddress, key=KEY) -> None:
    (message,) = add_provider(sender, [key])
    assert dht.request(sender, message, 2000.0) is None


def test_closer_peers_are_named_but_never_the_asker(dht):
    for sender in (ASKER, address_of(1)):
        named = {peer.peer for peer in peers_in(ask(dht, find_node(b"x"), sender).closer_peers)}
        assert named == {address_of(n).peer for n in range(1, 6)} - {sender.peer}


def test_at_least_one_peer_is_named_even_when_all_fail(dht):
    for contact in dht.table:
        contact.failures = 1
    assert ask(dht, find_node(b"x")).closer_peers


def test_providers_are_returned_with_closer_peers(dht):
    add(dht, address_of(50))
    answer = ask(dht, get_providers(KEY))
    assert list(peers_in(answer.provider_peers)) == [address_of(50)]
    assert len(answer.closer_peers) == 5
    assert (answer.type, answer.key) == (Message.GET_PROVIDERS, KEY)


def test_own_keys_are_answered_with_this_node(dht):
    dht.provide([KEY], 2000.0)
    assert list(peers_in(ask(dht, get_providers(KEY)).provider_peers)) == [dht.local]


def test_nobody_learns_of_own_keys_while_there_is_no_address(dht):
    dht.provide([KEY], 2000.0)
    dht.local = PeerAddress(dht.local.peer, ())
    assert not ask(dht, get_providers(KEY)).provider_peers


def test_many_providers_are_sampled_anew_each_time(dht):
    for number in range(100, 160):
        add(dht, address_of(number))
    answers = [
        frozenset(p.peer for p in peers_in(ask(dht, get_providers(KEY)).provider_peers))
        for _ in range(20)
    ]
    assert {len(answer) for answer in answers} == {MAX_PROVIDERS}
    assert len(set(answers)) > 15
    assert len(frozenset.union(*answers)) > 50


def test_dead_providers_are_kept_but_not_returned(dht):
    add(dht, address_of(1))
    contact = dht.table.get(address_of(1).peer)
    contact.failures = 1
    assert not ask(dht, get_providers(KEY)).provider_peers
    contact.failures = 0
    assert ask(dht, get_providers(KEY)).provider_peers


def test_ping_is_echoed(dht):
    ping = Message(type=Message.PING).SerializeToString()
    assert dht.request(ASKER, ping, 2000.0) == ping


def test_records_for_somebody_else_are_refused_without_ending_the_stream(dht):
    (message,) = add_provider(address_of(51), [KEY])
    assert dht.request(address_of(50), message, 2000.0) is None
    assert dht.known(KEY) == []
    assert dht.counts.refused == 1


@pytest.mark.parametrize(
    "message",
    [
        Message(type=Message.ADD_PROVIDER, key=KEY),
        Message(type=Message.ADD_PROVIDER, key=KEY, provider_peers=[{"id": ASKER.peer}]),
        Message(
            type=Message.ADD_PROVIDER,
            provider_peers=[{"id": ASKER.peer, "addrs": ASKER.addresses}],
        ),
    ],
    ids=["no provider", "no address", "no key"],
)
def test_records_without_what_they_need_are_refused(dht, message):
    assert dht.request(ASKER, message.SerializeToString(), 2000.0) is None
    assert dht.counts.records == 0
    assert dht.counts.refused == 1


@pytest.mark.parametrize("message", [b"\x08\x00\x12\x01k", b"\x08\x63", b"\xff\xff"])
def test_what_is_not_served_resets_the_stream(dht, message):
    with pytest.raises(BadMessage):
        dht.request(ASKER, message, 2000.0)


def test_withdrawals_touch_the_senders_records_only(dht):
    for number in (50, 51):
        add(dht, address_of(number))
    dht.withdrawal(address_of(50), withdrawal([KEY]), 2001.0)
    dht.withdrawal(address_of(52), withdrawal([KEY], leaving=True), 2001.0)
    assert dht.known(KEY) == [address_of(51)]


def test_who_leaves_is_forgotten_with_all_its_records(dht):
    keys = [key_of(str(number)) for number in range(100)]
    for key in keys:
        add(dht, address_of(1), key)
    dht.withdrawal(address_of(1), withdrawal(leaving=True), 2001.0)
    assert dht.counts.records == 0
    assert address_of(1).peer not in dht.table
    assert not any(dht.known(key) for key in keys)


@given(st.binary(max_size=300))
def test_any_bytes_are_answered_or_refused(data):
    dht = Dht(address_of(0), Random(1), 0.0)
    for serve in (dht.request, dht.withdrawal):
        with contextlib.suppress(BadMessage):
            serve(ASKER, data, 1.0)


MESSAGES = st.builds(
    Message,
    type=st.integers(0, 7),
    key=st.binary(max_size=90),
    closer_peers=st.lists(
        st.builds(Message.Peer, id=st.binary(max_size=40), addrs=st.lists(st.binary(max_size=25))),
        max_size=5,
    ),
    provider_peers=st.lists(
        st.builds(Message.Peer, id=st.binary(max_size=40), addrs=st.lists(st.binary(max_size=25))),
        max_size=5,
    ),
)


@settings(max_examples=40)
@given(requests=st.lists(MESSAGES, max_size=5), replies=st.lists(MESSAGES | st.binary()))
def test_a_node_survives_whatever_its_peers_say(requests, replies):
    network = Network(seed=1)
    node = network.cluster(3)[0]
    for request in requests:
        with contextlib.suppress(BadMessage):
            node.dht.request(ASKER, request.SerializeToString(), network.now)
    node.dht.find(KEY, network.now)
    commands = node.dht.commands()
    for reply in replies:
        if commands:
            data = reply if isinstance(reply, bytes) else reply.SerializeToString()
            node.dht.answered(commands.pop().ticket, data, network.now)
            commands = [c for c in node.dht.commands() if hasattr(c, "ticket")] + commands


def test_records_of_a_peer_that_left_are_filed_from_its_next_connection_on(dht):
    dht.happened(PeerConnected(ASKER, frozenset({KAD_PROTOCOL}), "agent"), 2000.0)
    dht.withdrawal(ASKER, withdrawal(leaving=True), 2000.0)
    add(dht, ASKER)
    assert not dht.known(KEY)
    dht.happened(PeerDisconnected(ASKER.peer), 2001.0)
    add(dht, ASKER)  # it is back, and quicker than identify
    assert dht.known(KEY) == [ASKER]
