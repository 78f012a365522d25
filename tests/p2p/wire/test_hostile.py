"""What strangers and broken peers may send, and that the host stays as it was."""

import contextlib
import random
import struct

import psutil
import pytest
import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamReset

from p2p.wire import connection as connection_module
from p2p.wire import doors
from p2p.wire.frames import MAX_MESSAGE_BYTES, frame, propose
from p2p.wire.identify import IDENTIFY
from p2p.wire.muxer import MAX_BUFFERED_BYTES
from p2p.wire.services import MAX_LARGE_BYTES

ECHO = "/test/echo/1"

OPENINGS = {
    "nothing": b"",
    "http": b"GET /v2/ HTTP/1.1\r\nHost: node\r\n\r\n" * 50,
    "tls": bytes.fromhex("16030100f5010000f10303") + bytes(300),
    "ssh": b"SSH-2.0-OpenSSH_9.6\r\n",
    "endless length": b"\xff" * 5000,
    "huge length": b"\xff\xff\xff\xff\x07",
    "multistream only": frame(b"/multistream/1.0.0\n"),
    "other protocols": frame(b"/multistream/1.0.0\n") + frame(b"/tls/1.0.0\n") * 40,
    "noise, then nothing": propose("/noise"),
    "noise, then zeros": propose("/noise") + bytes(1000),
    "noise, short first message": propose("/noise") + b"\x00\x05hello",
    "noise, bad curve point": propose("/noise") + b"\x00\x20" + bytes(32) + b"\x00\x40" + bytes(64),
    "noise, largest message": propose("/noise") + b"\xff\xff" + bytes(65535),
    "nul": bytes(100_000),
}


async def echo(_peer, message):
    return message


async def throw_at(host, data, *, linger=0.02):
    try:
        async with await trio.open_tcp_stream("127.0.0.1", host.port) as stream:
            with trio.move_on_after(linger):
                await stream.send_all(data)
                while await stream.receive_some(4096):
                    pass
    except (OSError, trio.BrokenResourceError):
        pass


async def settles(condition):
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - conditions of many parts
            await trio.sleep(0.01)


async def check_alive(host, other):
    assert await other.request(host.local, ECHO, b"still there", 10) == b"still there"


@pytest.mark.parametrize("psk", [None, b"k" * 32], ids=["open", "psk"])
def test_foreign_openings_leave_no_trace(run_trio, new_host, monkeypatch, psk):
    async def main():
        async with new_host(psk=psk) as host, new_host(psk=psk) as other:
            host.handle(ECHO, echo)
            await check_alive(host, other)
            monkeypatch.setattr(doors, "HANDSHAKE_SECONDS", 0.3)
            descriptors = psutil.Process().num_fds()
            tasks = trio.lowlevel.current_statistics().tasks_living
            chance = random.Random(7)
            async with trio.open_nursery() as nursery:
                for opening in OPENINGS.values():
                    nursery.start_soon(throw_at, host, opening)
                for _ in range(60):
                    data = chance.randbytes(chance.randrange(1, 3000))
                    nursery.start_soon(throw_at, host, data)
            await settles(lambda: host._doors.admission.open <= 1)
            await settles(lambda: psutil.Process().num_fds() <= descriptors)
            await settles(lambda: trio.lowlevel.current_statistics().tasks_living <= tasks + 2)
            await check_alive(host, other)

    run_trio(main)


def test_idle_connections_of_one_address_do_not_block_another(run_trio, new_host):
    async def main():
        async with new_host(per_address=16, listen=("127.0.0.1",)) as host, new_host() as other:
            host.handle(ECHO, echo)
            idle = []
            for _ in range(300):
                sock = trio.socket.socket()
                await sock.bind(("127.0.0.2", 0))
                await sock.connect(("127.0.0.1", host.port))
                idle.append(sock)
            await settles(lambda: host._doors.admission.open == 8)
            await check_alive(host, other)
            for sock in idle:
                sock.close()
            await settles(lambda: host._doors.admission.open == 1)

    run_trio(main)


def test_handshake_that_never_ends_loses_its_place(run_trio, new_host, monkeypatch):
    monkeypatch.setattr(doors, "HANDSHAKE_SECONDS", 0.2)

    async def main():
        async with new_host() as host:
            stream = await trio.open_tcp_stream("127.0.0.1", host.port)
            await settles(lambda: host._doors.admission.open == 1)
            await settles(lambda: host._doors.admission.open == 0)
            await stream.aclose()

    run_trio(main)


async def read_to_the_end(stream):
    while True:
        await stream.read()


async def raw_connection(host, other):
    """A proven connection of `other` to `host`, to misuse."""
    await other.identify(host.local.addresses[0], 5)
    return other._connections[host.local.peer][0]


@pytest.mark.parametrize(
    "data",
    [
        frame(bytes(10)) * 3 + b"\xff\xff\xff\xff\x0f",
        b"\x80\x80\x80\x80\x80\x80",
        frame(b"GET / HTTP/1.1")[:-3],
        (5 << 20).to_bytes(4, "little"),
    ],
)
def test_malformed_messages_end_their_stream_only(run_trio, new_host, data):
    async def main():
        async with new_host() as host, new_host() as other:
            host.handle(ECHO, echo)
            connection = await raw_connection(host, other)
            for _ in range(20):
                stream = await connection.open_stream()
                await stream.write(propose(ECHO) + data)
                await stream.close()
            await check_alive(host, other)
            assert other.connections == 1

    run_trio(main)


def test_message_above_four_mebibytes_is_refused_by_its_length(run_trio, new_host):
    async def main():
        async with new_host() as host, new_host() as other:
            host.handle(ECHO, echo)
            connection = await raw_connection(host, other)
            stream = await connection.open_stream()
            await stream.write(propose(ECHO) + frame(bytes((4 << 20) + 1))[:100])
            with pytest.raises((MuxedStreamEOF, MuxedStreamReset)), trio.fail_after(5):
                await read_to_the_end(stream)
            await check_alive(host, other)

    run_trio(main)


def test_large_messages_that_never_end_take_bounded_memory_together(run_trio, new_host):
    async def main():
        async with new_host() as host, new_host() as other:
            host.handle(ECHO, echo)
            connection = await raw_connection(host, other)
            fit = MAX_LARGE_BYTES // MAX_MESSAGE_BYTES
            streams = []
            for _ in range(fit + 1):
                stream = await connection.open_stream()
                await stream.write(propose(ECHO) + frame(bytes(MAX_MESSAGE_BYTES))[:1000])
                streams.append(stream)
            with pytest.raises((MuxedStreamEOF, MuxedStreamReset)), trio.fail_after(5):
                await read_to_the_end(streams[-1])
            await check_alive(host, other)
            for stream in streams:
                await stream.reset()
            large = bytes(MAX_MESSAGE_BYTES)
            assert await other.request(host.local, ECHO, large, 10) == large

    run_trio(main)


def test_streams_beyond_the_limit_are_reset(run_trio, new_host):
    async def main():
        async with new_host() as host, new_host() as other:
            host.handle(ECHO, echo)
            connection = await raw_connection(host, other)
            limit = connection_module.MAX_INBOUND_STREAMS
            streams = []
            for _ in range(limit + 40):
                stream = await connection.open_stream()
                await stream.write(propose(ECHO))
                streams.append(stream)
            await settles(
                lambda: all(c._inbound <= limit for c in host._connections[other.local.peer])
            )
            for stream in streams:
                await stream.reset()
            await check_alive(host, other)

    run_trio(main)


@pytest.mark.parametrize("answer", [b"\xff" * 20, frame(b"\xff" * 50), frame(b""), b""])
def test_nonsense_in_identify_costs_nothing_but_the_news(run_trio, new_host, answer):
    async def main():
        events = []
        async with new_host() as host, new_host() as other:
            host.subscribe(events.append)
            host.handle(ECHO, echo)

            async def serve(_connection, stream):
                await stream.write(answer)
                await stream.close()

            other._services.serve = serve
            await other.identify(host.local.addresses[0], 5)
            await check_alive(host, other)
            assert all(not event.protocols for event in events)

    run_trio(main)


def test_push_of_new_addresses_is_heard(run_trio, new_host):
    async def main():
        events = []
        async with new_host() as host, new_host() as other:
            host.subscribe(events.append)
            connection = await raw_connection(host, other)
            await settles(lambda: events)
            other.handle("/new", echo)
            stream = await connection.open_stream()
            push = propose("/ipfs/id/push/1.0.0") + frame(other._describe(connection))
            await stream.write(push)
            await stream.close()
            await settles(lambda: len(events) > 1)
            assert "/new" in events[-1].protocols
            assert IDENTIFY in events[-1].protocols

    run_trio(main)


def test_ping_comes_back(run_trio, new_host):
    async def main():
        async with new_host() as host, new_host() as other:
            stream = await (await raw_connection(host, other)).open_stream()
            await stream.write(propose("/ipfs/ping/1.0.0") + b"p" * 32)
            got = b""
            while not got.endswith(b"p" * 32):
                got += await stream.read()

    run_trio(main)


def test_peer_that_overruns_its_window_loses_the_connection(run_trio, new_host):
    """Stock yamux keeps whatever comes, and so would fill the memory."""

    async def main():
        async with new_host() as host, new_host() as other:

            async def deaf(_peer, _message):
                await trio.sleep_forever()

            host.handle(ECHO, deaf)
            connection = await raw_connection(host, other)
            stream = await connection.open_stream()
            await stream.write(propose(ECHO) + frame(b"x"))
            muxer, number = connection._muxer, stream._stream.stream_id
            header = struct.pack("!BBHII", 0, 0, 0, number, 1 << 20)
            with contextlib.suppress(Exception):  # it may end while we write
                for _ in range(2 * MAX_BUFFERED_BYTES >> 20):
                    await muxer._write_frame(header + bytes(1 << 20))
            await settles(lambda: not connection.is_open)
            await settles(lambda: host.connections == 0)

    run_trio(main)


def test_random_frames_never_harm_the_host(run_trio, new_host):
    async def main():
        chance = random.Random(11)
        async with new_host() as host, new_host() as other, new_host() as third:
            host.handle(ECHO, echo)
            for _ in range(25):
                connection = await raw_connection(host, other)
                for _ in range(20):
                    header = struct.pack(
                        "!BBHII",
                        0,
                        chance.randrange(6),
                        chance.randrange(16),
                        chance.randrange(8),
                        chance.choice([0, 1, 20, 1 << 20, 0xFFFFFFFF]),
                    )
                    try:
                        await connection._muxer.secured_conn.write(header)
                    except Exception:
                        break
                connection._socket.abort()
                await settles(lambda: other.connections == 0)
            await check_alive(host, third)
            await settles(lambda: other.local.peer not in host._connections)

    run_trio(main)


def test_peer_that_takes_no_data_is_dropped(run_trio, new_host, monkeypatch):
    monkeypatch.setattr("p2p.wire.muxer.WRITE_SECONDS", 0.3)

    async def main():
        async with new_host() as host, new_host() as other:
            host.handle(ECHO, echo)
            connection = await raw_connection(host, other)
            await settles(lambda: host.connections)

            async def take_nothing(_limit):
                await trio.sleep_forever()

            host._connections[other.local.peer][0]._socket._receive_some = take_nothing
            with pytest.raises(ConnectionClosedError, match="takes no data"):
                await connection._muxer._write_frame(bytes(32 << 20))
            await settles(lambda: not connection.is_open)
            await check_alive(host, other)

    run_trio(main)
