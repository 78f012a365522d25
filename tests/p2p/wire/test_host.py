import ipaddress
import logging
import socket
import statistics
import time
from contextlib import AsyncExitStack

import psutil
import pytest
import trio

from p2p.port import (
    BadMessage,
    PeerAddress,
    PeerConnected,
    PeerDisconnected,
    PeerId,
    PeerUnreachable,
)
from p2p.settings import Limits
from p2p.wire import doors, suspects
from p2p.wire import host as host_module
from p2p.wire.address import Endpoint, unpack
from p2p.wire.identity import IDENTITY_FILE, load_or_create
from p2p.wire.interfaces import InterfaceAddress
from p2p.wire.listener import ListenError

ECHO = "/test/echo/1"
PSK = bytes(range(32))


async def echo(_peer, message):
    return message


async def until(condition, seconds=5.0):
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - conditions of many parts
            await trio.sleep(0.005)


def unused_endpoint():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return Endpoint(ipaddress.ip_address("127.0.0.1"), sock.getsockname()[1])


def descriptors():
    return psutil.Process().num_fds()


@pytest.mark.parametrize("psk", [None, PSK], ids=["open", "psk"])
@pytest.mark.parametrize("listen", ["127.0.0.1", "::1"])
def test_message_comes_back_over_each_family_and_key(run_trio, new_host, listen, psk):
    async def main():
        async with (
            new_host(listen=(listen,), psk=psk) as one,
            new_host(listen=(listen,), psk=psk) as two,
        ):
            two.handle(ECHO, echo)
            assert await one.request(two.local, ECHO, b"hello", 5) == b"hello"
            assert await one.request(two.local, ECHO, b"", 5) == b""
            assert await one.request(two.local, ECHO, bytes(4 << 20), 20) == bytes(4 << 20)
            assert one.connections == two.connections == 1

    run_trio(main)


def test_both_wildcards_take_both_families(run_trio, new_host):
    async def main():
        async with new_host(listen=("::", "0.0.0.0")) as one, new_host() as two:
            for ip in ("127.0.0.1", "::1"):
                end = Endpoint(ipaddress.ip_address(ip), one.port)
                assert (await two.identify(end.pack(), 5)).peer == one.local.peer

    run_trio(main)


def test_requests_are_pipelined_and_answered_in_order(run_trio, new_host):
    async def main():
        async with new_host() as one, new_host() as two:
            two.handle(ECHO, echo)
            answers = {}

            async def ask(number):
                message = str(number).encode()
                answers[number] = await one.request(two.local, ECHO, message, 20)

            async with trio.open_nursery() as nursery:
                for number in range(2000):
                    nursery.start_soon(ask, number)
            assert answers == {number: str(number).encode() for number in range(2000)}

    run_trio(main)


def test_thousands_of_messages_without_answer_all_arrive(run_trio, new_host):
    async def main():
        got = []

        async def take(_peer, message):
            got.append(message)

        async with new_host() as one, new_host() as two:
            two.handle(ECHO, take)
            sent = [b"%d" % number * 20 for number in range(5000)]
            await one.send(two.local, ECHO, sent, 20)
            await until(lambda: len(got) == len(sent))
            assert got == sent
            await one.send(two.local, ECHO, [], 1)

    run_trio(main)


def test_handler_learns_who_asks_and_where_it_listens(run_trio, new_host):
    async def main():
        asked = []

        async def handler(peer, message):
            asked.append(peer)
            return message

        events = []
        async with new_host() as one, new_host() as two:
            two.handle(ECHO, handler)
            two.subscribe(events.append)
            await one.identify(two.local.addresses[0], 5)
            await until(lambda: events)
            await one.request(two.local, ECHO, b"x", 5)
            assert asked == [one.local]

    run_trio(main)


def test_listeners_hear_of_peers_that_come_and_go(run_trio, new_host):
    async def main():
        events = []
        async with new_host() as one:
            one.handle(ECHO, echo)
            one.subscribe(lambda _event: 1 / 0)  # a broken listener harms nobody
            one.subscribe(events.append)
            async with new_host() as two:
                two.handle(ECHO, echo)
                await two.identify(one.local.addresses[0], 5)
                await until(lambda: events)
                connected = events[0]
                assert isinstance(connected, PeerConnected)
                assert connected.address == two.local
                assert ECHO in connected.protocols
                assert connected.agent == "spegla"
                peer = two.local.peer
            await until(lambda: len(events) > 1)
            assert events[1:] == [PeerDisconnected(peer)]
            assert one.connections == 0

    run_trio(main)


def test_identify_learns_the_id_of_a_bare_address(run_trio, new_host):
    async def main():
        async with new_host() as one, new_host() as two:
            for _ in range(3):
                assert await one.identify(two.local.addresses[0], 5) == two.local
            assert await one.identify(one.local.addresses[0], 5) == one.local
            assert one.connections == 1  # none to itself
            with pytest.raises(PeerUnreachable, match="refused"):
                await one.identify(unused_endpoint().pack(), 5)
            with pytest.raises(PeerUnreachable, match="not an address"):
                await one.identify(b"nonsense", 5)

    run_trio(main)


def test_other_peer_at_the_address_is_not_taken_for_the_one_wanted(run_trio, new_host):
    async def main():
        async with new_host() as one, new_host() as two:
            wanted = PeerAddress(PeerId(b"\x12\x20" + bytes(32)), two.local.addresses)
            with pytest.raises(PeerUnreachable, match="another peer answered"):
                await one.request(wanted, ECHO, b"x", 5)

    run_trio(main)


def test_dead_address_beside_a_live_one_costs_a_moment(run_trio, new_host):
    async def main():
        async with new_host() as one, new_host() as two:
            two.handle(ECHO, echo)
            addresses = (
                unused_endpoint().pack(),
                Endpoint(ipaddress.ip_address("192.0.2.1"), 5001).pack(),  # never answers
                *two.local.addresses,
            )
            peer = PeerAddress(two.local.peer, addresses)
            assert await one.request(peer, ECHO, b"x", 5) == b"x"

    run_trio(main)


def test_silent_address_is_given_up_in_bounded_time(run_trio, new_host):
    async def main():
        mute = await trio.open_tcp_listeners(0, host="127.0.0.1")
        end = Endpoint(ipaddress.ip_address("127.0.0.1"), mute[0].socket.getsockname()[1])
        async with new_host() as one:
            peer = PeerAddress(PeerId(b"\x12\x20" + bytes(32)), (end.pack(),))
            start = trio.current_time()
            with pytest.raises(PeerUnreachable, match="no handshake within"):
                await one.request(peer, ECHO, b"x", 20)
            assert trio.current_time() - start < 5

    run_trio(main)


def test_caller_who_gives_up_harms_nobody(run_trio, new_host):
    """py-libp2p loses the connection when a write is cancelled."""

    async def main():
        release = trio.Event()

        async def slow(_peer, message):
            if message == b"slow":
                await release.wait()
            return message

        async with new_host() as one, new_host() as two:
            two.handle(ECHO, slow)
            assert await one.request(two.local, ECHO, b"x", 5) == b"x"
            for _ in range(50):
                with trio.move_on_after(0.0005):
                    await one.request(two.local, ECHO, bytes(200_000), 20)
            with trio.move_on_after(0.05):
                await one.request(two.local, ECHO, b"slow", 20)
            release.set()
            assert await one.request(two.local, ECHO, b"after", 20) == b"after"
            assert one.connections == 1

    run_trio(main)


def test_request_without_answer_times_out_and_the_next_has_a_fresh_stream(run_trio, new_host):
    async def main():
        calls = []

        async def mute_once(_peer, message):
            calls.append(message)
            if message == b"mute":
                await trio.sleep_forever()
            return message

        async with new_host() as one, new_host() as two:
            two.handle(ECHO, mute_once)
            with pytest.raises(PeerUnreachable, match=r"within 0\.2 s|no answer in time"):
                await one.request(two.local, ECHO, b"mute", 0.2)
            assert await one.request(two.local, ECHO, b"next", 5) == b"next"
            assert calls.count(b"mute") == 1
            assert one.connections == 1

    run_trio(main)


def test_stream_that_broke_is_replaced_once(run_trio, new_host):
    async def main():
        calls = []

        async def breaks_first(_peer, message):
            calls.append(message)
            if calls.count(message) == 1 and message.startswith(b"break"):
                raise BadMessage
            if message == b"always":
                raise BadMessage
            return message

        async with new_host() as one, new_host() as two:
            two.handle(ECHO, breaks_first)
            assert await one.request(two.local, ECHO, b"break", 5) == b"break"
            with pytest.raises(PeerUnreachable):
                await one.request(two.local, ECHO, b"always", 5)
            assert calls.count(b"always") == 2
            assert await one.request(two.local, ECHO, b"fine", 5) == b"fine"

    run_trio(main)


def test_restarted_peer_is_dialled_again(run_trio, new_host):
    async def main():
        async with new_host() as one:
            async with new_host() as two:
                two.handle(ECHO, echo)
                await one.request(two.local, ECHO, b"x", 5)
                port = two.port
            async with new_host(port=port) as three:
                three.handle(ECHO, echo)
                assert await one.request(three.local, ECHO, b"y", 5) == b"y"

    run_trio(main)


def test_exception_in_a_handler_ends_its_stream_only(run_trio, new_host, caplog):
    async def main():
        async def fail(_peer, message):
            if message == b"fail":
                raise RuntimeError("broken handler")
            return message

        async with new_host() as one, new_host() as two:
            two.handle(ECHO, fail)
            with pytest.raises(PeerUnreachable):
                await one.request(two.local, ECHO, b"fail", 5)
            assert await one.request(two.local, ECHO, b"fine", 5) == b"fine"
            assert one.connections == 1

    run_trio(main)
    assert "broken handler" in caplog.text


def test_unknown_protocol_is_unreachable(run_trio, new_host):
    async def main():
        async with new_host() as one, new_host() as two:
            with pytest.raises(PeerUnreachable, match="/test/echo/1"):
                await one.request(two.local, ECHO, b"x", 5)

    run_trio(main)


def test_own_peer_id_is_never_dialled(run_trio, new_host):
    async def main():
        async with new_host() as one:
            with pytest.raises(PeerUnreachable, match="our own"):
                await one.request(one.local, ECHO, b"x", 5)

    run_trio(main)


def test_message_above_the_limit_is_refused_here(run_trio, new_host):
    async def main():
        async with new_host() as one, new_host() as two:
            with pytest.raises(ValueError, match="larger than"):
                await one.request(two.local, ECHO, bytes((4 << 20) + 1), 5)

    run_trio(main)


def test_disconnect_drops_the_peer(run_trio, new_host):
    async def main():
        async with new_host() as one, new_host() as two:
            two.handle(ECHO, echo)
            await one.request(two.local, ECHO, b"x", 5)
            await one.disconnect(two.local.peer)
            assert one.connections == 0
            await one.disconnect(two.local.peer)
            assert await one.request(two.local, ECHO, b"y", 5) == b"y"

    run_trio(main)


@pytest.mark.parametrize("other", [b"x" * 32, None], ids=["wrong", "none"])
def test_wrong_key_is_said_once_and_leaks_nothing(run_trio, new_host, caplog, monkeypatch, other):
    monkeypatch.setattr(doors, "DIAL_SECONDS", 0.5)
    monkeypatch.setattr(suspects, "PERSIST_SECONDS", 0.0)

    async def main():
        async with new_host(psk=PSK) as one, new_host(psk=other) as two:
            before = descriptors()
            for _ in range(2):
                with pytest.raises(PeerUnreachable):
                    await one.identify(two.local.addresses[0], 5)
            assert one.connections == two.connections == 0
            await until(lambda: descriptors() <= before)
            tasks = trio.lowlevel.current_statistics().tasks_living
            with pytest.raises(PeerUnreachable):
                await two.identify(one.local.addresses[0], 5)
            await trio.sleep(0.05)
            assert trio.lowlevel.current_statistics().tasks_living <= tasks + 2

    with caplog.at_level(logging.INFO):
        run_trio(main)
    lines = [line for line in caplog.messages if "the same pre-shared key" in line]
    assert 1 <= len(lines) <= 4  # each side once per address, dialling and dialled


def test_taken_port_is_an_error_that_names_it(run_trio, new_host):
    async def main():
        async with new_host() as one, new_host(listening=False, port=one.port) as two:
            with pytest.raises(ListenError, match=rf"127\.0\.0\.1:{one.port}.*another program"):
                await two.listen()
            with pytest.raises(OSError, match="cannot listen"):
                await two.listen()

    run_trio(main)


def test_address_of_no_interface_is_an_error_that_names_it(run_trio, new_host):
    async def main():
        async with new_host(listening=False, listen=("192.0.2.9",)) as one:
            with pytest.raises(ListenError, match=r"192\.0\.2\.9:0: .*no interface"):
                await one.listen()

    run_trio(main)


def test_twenty_peers_are_left_within_a_second(run_trio, new_host):
    async def main():
        async with AsyncExitStack() as stack:
            spokes = [await stack.enter_async_context(new_host()) for _ in range(20)]
            async with new_host() as hub:
                for spoke in spokes:
                    await spoke.identify(hub.local.addresses[0], 10)
                await until(lambda: hub.connections == 20)
                start = time.monotonic()
            assert time.monotonic() - start < 2

    run_trio(main)


def test_more_connections_than_a_peer_needs_are_closed(run_trio, new_host):
    async def main():
        async with new_host() as one, new_host() as two:
            for _ in range(8):
                two._start(await two._doors.dial(unpack(one.local.addresses[0])))
            await until(lambda: one.connections <= 4)

    run_trio(main)


def test_connections_in_a_row_never_exhaust_the_host(run_trio, new_host):
    """Stock py-libp2p refuses every connection after 250 in total."""

    async def main():
        async with new_host(per_address=8) as one, new_host() as two:
            two.handle(ECHO, echo)
            one.handle(ECHO, echo)
            for _ in range(260):
                await two.request(one.local, ECHO, b"x", 5)
                for connection in two._connections[one.local.peer]:
                    connection._socket.abort()
                await until(lambda: two.connections == 0)
                await until(lambda: one.connections == 0)

    run_trio(main)


def test_idle_connections_are_swept_when_places_run_short(run_trio, new_host, monkeypatch):
    monkeypatch.setattr(host_module, "_SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(host_module, "_IDLE_SECONDS", 0.0)

    async def main():
        async with new_host() as one, new_host() as two:
            await two.identify(one.local.addresses[0], 5)
            await trio.sleep(0.3)
            assert one.connections == 1  # enough places: kept warm
            object.__setattr__(one._settings.limits, "connections", 1)
            await until(lambda: one.connections == 0)

    run_trio(main)


def test_latency_is_measured(run_trio, new_host):
    async def main():
        async with new_host() as one, new_host() as two:
            await one.identify(two.local.addresses[0], 5)
            await until(lambda: one.latency(two.local.peer) is not None)
            assert 0 < one.latency(two.local.peer) < 1
            assert one.latency(PeerId(b"nobody")) is None

    run_trio(main)


def test_request_is_quick(run_trio, new_host):
    async def main():
        async with new_host() as one, new_host() as two:
            two.handle(ECHO, echo)
            took = []
            for _ in range(200):
                start = time.perf_counter()
                await one.request(two.local, ECHO, b"x" * 100, 5)
                took.append(time.perf_counter() - start)
            assert statistics.median(took) < 0.05

    run_trio(main)


def test_a_peer_that_moved_is_dialled_where_it_is_now(run_trio, new_host):
    async def main():
        async with new_host() as one, new_host() as two:
            two.handle(ECHO, echo)
            before = PeerAddress(two.local.peer, (unused_endpoint().pack(),))
            with pytest.raises(PeerUnreachable):
                await one.request(before, ECHO, b"", 5)
            assert await one.request(two.local, ECHO, b"here", 5) == b"here"

    run_trio(main)


def test_a_disconnect_is_told_though_the_last_connection_was_never_identified(
    run_trio, new_host, tmp_path
):
    async def main():
        async with new_host() as one, new_host() as two:
            two.handle(ECHO, echo)
            events = []
            two.subscribe(events.append)
            await one.request(two.local, ECHO, b"", 5)
            await until(lambda: events)
            identity = load_or_create(tmp_path / "node0" / IDENTITY_FILE)
            copy = doors.Doors(identity, None, Limits())
            silent = await copy.dial(unpack(two.local.addresses[0]), two.local.peer)
            await until(lambda: two.connections == 2)
            await one.disconnect(two.local.peer)
            await until(lambda: two.connections == 1)
            silent.socket.abort()
            await until(lambda: not two.connections)
            assert events[1:] == [PeerDisconnected(one.local.peer)]

    run_trio(main)


def test_peers_are_told_of_an_address_that_comes_later(run_trio, new_host, monkeypatch):
    monkeypatch.setattr(host_module, "_WATCH_SECONDS", 0.05)
    present = []

    async def main():
        wildcard = new_host(listen=("0.0.0.0",), interfaces=lambda: present)
        async with wildcard as one, new_host() as two:
            two.handle(ECHO, echo)
            events = []
            two.subscribe(events.append)
            await one.request(two.local, ECHO, b"", 5)
            await until(lambda: events)
            assert one.local.addresses == events[0].address.addresses == ()
            ip = ipaddress.ip_address("10.9.8.7")
            present.append(InterfaceAddress("eth0", ip))
            await until(lambda: len(events) == 2)
            assert events[1].address.addresses == (Endpoint(ip, one.port).pack(),)
            assert events[1].address == one.local

    run_trio(main)
