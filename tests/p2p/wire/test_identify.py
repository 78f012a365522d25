import ipaddress

import pytest
import trio

from p2p.port import PeerId
from p2p.wire.address import Endpoint
from p2p.wire.frames import ProtocolError, frame
from p2p.wire.identify import read_identify, usable_addresses, write_identify
from p2p.wire.keys import key_pair_from_pem, new_key_pem

PEER = PeerId(b"\x12\x20" + bytes(32))
HERE = Endpoint(ipaddress.ip_address("10.0.0.4"), 5001).pack()
QUIC = bytes.fromhex("040a0000049102" + "1389" + "cd03")
WILDCARD = Endpoint(ipaddress.ip_address("0.0.0.0"), 5001).pack()


class Bytes:
    def __init__(self, data):
        self.data = data

    async def read(self, n=None):
        if not self.data:
            raise EOFError
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    async def write(self, data):
        raise NotImplementedError


def message(addresses=(HERE,), protocols=("/a",), agent="spegla"):
    key = key_pair_from_pem(new_key_pem()).public_key
    return write_identify(key, addresses, protocols, agent, HERE)


def read(data):
    return trio.run(read_identify, Bytes(data), PEER)


def test_what_is_written_is_read():
    about = read(frame(message()))
    assert about.address.peer == PEER
    assert about.address.addresses == (HERE,)
    assert about.protocols == {"/a"}
    assert about.agent == "spegla"


def test_several_messages_are_one():
    """go-libp2p puts the signed record into a second one."""
    about = read(frame(message(protocols=("/a",))) + frame(message(protocols=("/b",))))
    assert about.protocols == {"/a", "/b"}


def test_only_what_can_be_dialled_over_tcp_is_kept_once():
    assert usable_addresses([QUIC, HERE, WILDCARD, b"", HERE]) == (HERE,)


def test_a_peer_cannot_fill_the_memory():
    ends = [Endpoint(ipaddress.ip_address(f"10.1.{i}.1"), 1).pack() for i in range(200)]
    about = read(frame(message(ends, [f"/{i}" for i in range(500)], "x" * 5000)))
    assert len(about.address.addresses) == 16
    assert len(about.protocols) == 128
    assert len(about.agent) == 100


@pytest.mark.parametrize("data", [frame(b"\xff" * 9), frame(bytes(70_000))])
def test_nonsense_is_refused(data):
    with pytest.raises(ProtocolError):
        read(data)


def test_silence_is_an_error():
    with pytest.raises(EOFError):
        read(b"")
