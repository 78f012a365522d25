from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.kad.ids import key_of
from p2p.kad.messages import (
    MAX_KEY,
    MAX_MESSAGE,
    MAX_PEERS,
    MAX_WITHDRAWN,
    add_provider,
    answer,
    decode,
    decode_withdrawal,
    find_node,
    get_providers,
    peer_message,
    peers_in,
    withdrawal,
)
from p2p.kad.pb.dht_pb2 import Message
from p2p.port import BadMessage, Key, PeerAddress
from tests.p2p.kad.network import address_of

KEY = key_of("sha256:aa")


def test_an_announcement_is_what_protobuf_writes():
    (data,) = add_provider(address_of(1), [KEY])
    message = decode(data)
    assert message.type == Message.ADD_PROVIDER
    assert message.key == KEY
    assert list(peers_in(message.provider_peers)) == [address_of(1)]
    assert Message.FromString(data).SerializeToString() == data


def test_nothing_is_announced_without_an_address():
    assert add_provider(PeerAddress(address_of(1).peer, ()), [KEY]) == []


def test_requests_carry_type_and_key():
    assert decode(find_node(b"peer")) == Message(type=Message.FIND_NODE, key=b"peer")
    assert decode(get_providers(KEY)) == Message(type=Message.GET_PROVIDERS, key=KEY)


def test_the_type_numbers_are_those_of_go():
    assert dict(Message.Type.items()) == {
        "PUT_VALUE": 0,
        "GET_VALUE": 1,
        "ADD_PROVIDER": 2,
        "GET_PROVIDERS": 3,
        "FIND_NODE": 4,
        "PING": 5,
    }


def test_the_bytes_are_those_of_go():
    peer = PeerAddress(b"\x00\x01x", (b"\x04\x0a\x00\x00\x01\x06\x13\x89",))
    request = Message(type=Message.GET_PROVIDERS, key=b"k")
    data = answer(request, [peer_message(peer)], [peer_message(peer)])
    entry = b"\x0a\x03\x00\x01x\x12\x08\x04\x0a\x00\x00\x01\x06\x13\x89\x18\x01"
    listed = bytes((len(entry),)) + entry
    assert data == b"\x08\x03\x12\x01k" + b"\x42" + listed + b"\x4a" + listed


def test_only_so_many_peers_are_read():
    request = Message(type=Message.FIND_NODE)
    data = answer(request, [peer_message(address_of(n)) for n in range(3 * MAX_PEERS)])
    assert len(list(peers_in(decode(data).closer_peers))) == MAX_PEERS


@pytest.mark.parametrize("peer_id", [b"", b"\x12", b"x" * 34, b"\x12\x20short", b"\x00" * 100])
def test_peers_with_a_malformed_id_are_passed_over(peer_id):
    peers = [Message.Peer(id=peer_id, addrs=address_of(1).addresses), peer_message(address_of(2))]
    assert list(peers_in(peers)) == [address_of(2)]


@pytest.mark.parametrize(
    "data", [b"\x42", b"\xff" * 30, b"\x12\x51" + b"k" * 81, b"\x42\x00" * MAX_MESSAGE]
)
def test_nonsense_is_refused(data):
    with pytest.raises(BadMessage):
        decode(data)


@given(st.binary(max_size=500))
def test_any_bytes_decode_or_are_refused(data):
    for read in (decode, decode_withdrawal):
        try:
            read(data)
        except BadMessage:
            continue


def test_withdrawals_come_back_as_they_were():
    some = decode_withdrawal(withdrawal([KEY]))
    assert (list(some.keys), some.leaving, some.anew) == ([KEY], False, False)
    leaving = decode_withdrawal(withdrawal(leaving=True))
    assert (list(leaving.keys), leaving.leaving, leaving.anew) == ([], True, False)
    anew = decode_withdrawal(withdrawal(anew=True))
    assert (list(anew.keys), anew.leaving, anew.anew) == ([], False, True)


def test_a_withdrawal_of_too_many_keys_is_refused():
    with pytest.raises(BadMessage):
        decode_withdrawal(withdrawal([KEY] * (MAX_WITHDRAWN + 1)))


def test_a_withdrawal_of_an_overlong_key_is_refused():
    with pytest.raises(BadMessage):
        decode_withdrawal(withdrawal([KEY, Key(b"k" * (MAX_KEY + 1))]))
