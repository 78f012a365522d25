import socket

import pytest
import trio

from p2p.wire.listener import ListenError, open_listeners


def opened(listen, port=0):
    async def main():
        listeners = await open_listeners(listen, port)
        names = [listener.socket.getsockname()[:2] for listener in listeners]
        for listener in listeners:
            listener.socket.close()
        return names

    return trio.run(main)


def test_wildcards_of_both_families_share_a_port():
    (six, port), (four, same) = opened(("::", "0.0.0.0"))
    assert (six, four, port) == ("::", "0.0.0.0", same)


def test_port_shared_by_a_careless_program_is_seen():
    """py-libp2p's own listener would share it, and get half of the connections."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ListenError, match=f"{port}.*another program"):
            opened(("127.0.0.1",), port)
        with pytest.raises(ListenError, match=f"0.0.0.0:{port}"):
            opened(("::", "0.0.0.0"), port)
    assert opened(("127.0.0.1",), port)


def test_restart_is_not_hindered_by_connections_that_linger():
    with socket.socket() as server, socket.socket() as client:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as ours does
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        client.connect(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # this side is the one in TIME_WAIT
    assert opened(("127.0.0.1",), port) == [("127.0.0.1", port)]


def test_address_of_no_interface_is_named():
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:0: .*node-ip"):
        opened(("192.0.2.1",))
