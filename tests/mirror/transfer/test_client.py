"""One peer asked for one thing, whatever it answers."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator

import pytest

from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.oci.ranges import Span
from mirror.transfer.client import PeerClient, PeerFault
from mirror.transfer.peers import Fault
from mirror.transfer.wanted import Kind, Wanted
from tests.mirror.loopback import Loopback, fresh_address, loopback, until
from tests.mirror.scripted_peer import (
    Asked,
    Behaviour,
    answering,
    cut_after,
    hanging_after,
    hanging_up,
    holding,
    late,
    raw,
    scripted,
    silent,
    trickling,
)

DATA = random.Random(5).randbytes(400_000)
DIGEST = Digest.of(DATA)
WANTED = Wanted(Kind.BLOB, "docker.io", "library/x", DIGEST, None)


@pytest.fixture
async def cluster() -> AsyncIterator[Loopback]:
    async with loopback() as cluster:
        yield cluster


@pytest.fixture
async def client(cluster: Loopback) -> PeerClient:
    return (await cluster.node()).client


async def read(client: PeerClient, address: str, span: Span | None = None) -> bytes:
    response = await client.ask(address, WANTED, span=span)
    try:
        return bytes(await response.read_all(None))
    finally:
        response.close()


async def test_request_is_what_spegel_s_nodes_understand(
    cluster: Loopback, client: PeerClient
) -> None:
    peer = await scripted(cluster, holding(DATA))
    assert await read(client, peer.address) == DATA
    asked = peer.asked[0]
    assert asked.target == f"/v2/library/x/blobs/{DIGEST}?ns=docker.io"
    assert asked.headers["host"] == f"{peer.address}:{cluster.port}"
    assert asked.headers["x-spegel-mirrored"] == "true"
    assert asked.headers["user-agent"] == "spegla/test"
    assert "application/vnd.oci.image.index.v1+json" in asked.headers["accept"]
    assert not {"range", "accept-encoding", "authorization"} & asked.headers.keys()


async def test_span_is_asked_for_and_got(cluster: Loopback, client: PeerClient) -> None:
    peer = await scripted(cluster, holding(DATA))
    response = await client.ask(peer.address, WANTED, span=Span(10, 200_000))
    assert response.size == len(DATA)
    assert await response.read_all(None) == DATA[10:200_000]
    response.close()
    assert peer.asked[0].headers["range"] == "bytes=10-199999"


async def test_head_tells_the_size(cluster: Loopback, client: PeerClient) -> None:
    peer = await scripted(cluster, holding(DATA))
    response = await client.ask(peer.address, WANTED, "HEAD")
    response.close()
    assert response.size == len(DATA)
    assert await read(client, peer.address) == DATA
    assert peer.connections == 1


async def test_connection_is_kept_after_content_and_after_a_refusal(
    cluster: Loopback, client: PeerClient
) -> None:
    peer = await scripted(cluster, holding(DATA))
    for _ in range(3):
        assert await read(client, peer.address) == DATA
        peer.behaviour = answering(404)
        with pytest.raises(NotHere):
            await read(client, peer.address)
        peer.behaviour = holding(DATA)
    assert peer.connections == 1


async def test_peer_that_closes_kept_connections_is_asked_on_a_fresh_one(
    cluster: Loopback, client: PeerClient
) -> None:
    peer = await scripted(cluster, holding(DATA))

    async def once(asked: Asked) -> None:
        await holding(DATA)(asked)
        raise asked.finish()

    peer.behaviour = once
    for _ in range(3):
        assert await read(client, peer.address) == DATA
        await until(lambda: not peer.open)
    assert peer.connections == 3
    assert client.book.get(peer.address).faults == 0


@pytest.mark.parametrize("reset", [False, True])
async def test_kept_connection_that_dies_on_the_next_request_is_no_fault(
    cluster: Loopback, client: PeerClient, reset: bool
) -> None:
    peer = await scripted(cluster, holding(DATA))
    responses = [await client.ask(peer.address, WANTED) for _ in range(3)]
    for response in responses:
        await response.read_all(None)
        response.close()
    assert peer.connections == 3

    async def dying(asked: Asked) -> None:
        if peer.connections == 3:
            raise asked.reset() if reset else asked.finish()
        await holding(DATA)(asked)

    peer.behaviour = dying
    assert await read(client, peer.address) == DATA
    assert peer.connections == 4
    assert client.book.get(peer.address).faults == 0


async def test_idle_connections_are_swept_and_bounded(cluster: Loopback) -> None:
    client = (await cluster.node()).client
    now = [0.0]
    client.clock = lambda: now[0]
    peer = await scripted(cluster, holding(DATA))
    responses = [await client.ask(peer.address, WANTED) for _ in range(12)]
    for response in responses:
        await response.read_all(None)
        response.close()
    await until(lambda: peer.open == 8)
    now[0] = 29.0
    client.sweep()
    assert await read(client, peer.address) == DATA
    now[0] = 31.0
    client.sweep()
    await until(lambda: peer.open == 1)
    now[0] = 100.0
    client.sweep()
    await until(lambda: not peer.open)


async def test_body_that_is_not_read_ends_its_connection(
    cluster: Loopback, client: PeerClient
) -> None:
    peer = await scripted(cluster, holding(DATA))
    response = await client.ask(peer.address, WANTED)
    assert client.book.get(peer.address).running == 1
    response.close()
    response.close()
    assert client.book.get(peer.address).running == 0
    await until(lambda: not peer.open)


async def test_body_longer_than_said_ends_its_connection(
    cluster: Loopback, client: PeerClient
) -> None:
    peer = await scripted(
        cluster, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n")
    )
    for _ in range(2):
        assert await read(client, peer.address) == b"abc"
    assert peer.connections == 2


@pytest.mark.parametrize("status", [404, 400, 416, 405, 301, 307, 304, 204])
async def test_refusal_is_no_fault_and_the_key_is_not_asked_for_again_for_a_while(
    cluster: Loopback, client: PeerClient, status: int
) -> None:
    peer = await scripted(cluster, answering(status, b"" if status in (304, 204) else b"{}"))
    with pytest.raises(NotHere, match=str(status)):
        await read(client, peer.address)
    known, now = client.book.get(peer.address), client.clock()
    assert (known.faults, known.running) == (0, 0)
    assert not client.book.usable(peer.address, WANTED.key, now)
    assert client.book.usable(peer.address, "another key", now)
    assert client.book.usable(peer.address, WANTED.key, now + 2.1)


async def test_refusal_without_a_length_is_a_refusal(cluster: Loopback, client: PeerClient) -> None:
    peer = await scripted(
        cluster,
        raw(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"),
    )
    with pytest.raises(NotHere, match="404"):
        await read(client, peer.address)
    assert client.book.get(peer.address).faults == 0


@pytest.mark.parametrize("status", [429, 503])
async def test_busy_peer_is_asked_later_without_a_fault(
    cluster: Loopback, client: PeerClient, status: int
) -> None:
    peer = await scripted(cluster, answering(status))
    with pytest.raises(NotHere):
        await read(client, peer.address)
    now = client.clock()
    assert client.book.get(peer.address).faults == 0
    assert client.book.usable(peer.address, WANTED.key, now)
    assert client.book.rank([peer.address, "idle"], now) == ["idle", peer.address]


@pytest.mark.parametrize("status", [401, 403, 500, 502])
async def test_status_of_a_broken_peer_counts_each_time(
    cluster: Loopback, client: PeerClient, status: int
) -> None:
    peer = await scripted(cluster, answering(status))
    for count in (1, 2):
        with pytest.raises(PeerFault, match=f"answered {status}") as fault:
            await read(client, peer.address)
        assert fault.value.fault is Fault.BROKEN
        assert client.book.get(peer.address).faults == count


OK = b"HTTP/1.1 200 OK\r\n"
PARTIAL = b"HTTP/1.1 206 Partial\r\nContent-Length: 10\r\n"


@pytest.mark.parametrize(
    "behaviour",
    [
        raw(b"\x00\xff garbage \r\n\r\n"),
        raw(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n"),
        raw(OK + b"\r\nno length"),
        raw(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        raw(OK + b"Content-Length: 5\r\nContent-Encoding: gzip\r\n\r\nhello"),
        raw(OK + b"Content-Length: -5\r\n\r\n"),
        raw(OK + b"X: " + b"y" * 40_000 + b"\r\n\r\n"),
        raw(b"y" * 100_000),
        raw(PARTIAL + b"Content-Range: bytes 0-9/400000\r\n\r\n0123456789"),
        raw(b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
async def test_what_is_no_answer_of_a_registry_is_a_fault(
    cluster: Loopback, client: PeerClient, behaviour: Behaviour
) -> None:
    peer = await scripted(cluster, behaviour)
    with pytest.raises(PeerFault) as fault:
        await read(client, peer.address)
    assert fault.value.fault is Fault.BROKEN
    assert len(str(fault.value)) < 300
    await until(lambda: not peer.open)


@pytest.mark.parametrize(
    "behaviour",
    [
        raw(PARTIAL + b"\r\n0123456789"),
        raw(PARTIAL + b"Content-Range: bytes 0-9/*\r\n\r\n0123456789"),
        raw(PARTIAL + b"Content-Range: bytes 1-10/400000\r\n\r\n0123456789"),
        raw(PARTIAL + b"Content-Range: bytes 0-8/400000\r\n\r\n0123456789"),
        raw(PARTIAL + b"Content-Range: bytes 0-9/5\r\n\r\n0123456789"),
        raw(OK + b"Content-Length: 10\r\n\r\n0123456789"),
        holding(DATA, Content_Range="nonsense"),
    ],
)
async def test_answer_that_is_not_the_span_asked_for_is_a_fault(
    cluster: Loopback, client: PeerClient, behaviour: Behaviour
) -> None:
    peer = await scripted(cluster, behaviour)
    with pytest.raises(PeerFault) as fault:
        await read(client, peer.address, Span(0, 10))
    assert fault.value.fault is Fault.BROKEN


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (hanging_up, Fault.UNREACHABLE),
        (silent, Fault.STALLED),
        (raw(b"HTTP/1.1 200"), Fault.UNREACHABLE),
        (cut_after(DATA, 100_000), Fault.UNREACHABLE),
        (cut_after(DATA, 0), Fault.UNREACHABLE),
        (cut_after(DATA, 100_000, reset=True), Fault.UNREACHABLE),
        (hanging_after(DATA, 100_000), Fault.STALLED),
        (trickling(DATA, 1, 0.02), Fault.STALLED),
    ],
)
async def test_peer_that_does_not_finish_is_a_fault(
    cluster: Loopback, client: PeerClient, behaviour: Behaviour, expected: Fault
) -> None:
    peer = await scripted(cluster, behaviour)
    with pytest.raises(PeerFault) as fault:
        await read(client, peer.address)
    assert fault.value.fault is expected
    assert client.book.get(peer.address).faults == 1
    assert client.book.get(peer.address).running == 0
    await until(lambda: not peer.open)


async def test_faults_of_mid_body_add_up_though_the_heads_are_good(
    cluster: Loopback, client: PeerClient
) -> None:
    peer = await scripted(cluster, cut_after(DATA, 10))
    for _ in range(3):
        with pytest.raises(PeerFault):
            await read(client, peer.address)
    assert client.book.get(peer.address).faults == 3


async def test_nobody_there_is_a_fault_told_once(
    client: PeerClient, caplog: pytest.LogCaptureFixture
) -> None:
    address = fresh_address()
    with caplog.at_level(logging.WARNING, "spegla.transfer"):
        for _ in range(3):
            with pytest.raises(PeerFault):
                await read(client, address)
    assert len(caplog.records) == 1
    assert f"peer {address}: " in caplog.text
    assert client.book.get(address).faults == 3


@pytest.mark.parametrize("pause", [0.0, 0.005, 0.02, 0.1])
@pytest.mark.parametrize(
    "behaviour", [silent, late(0.05, holding(DATA)), hanging_after(DATA, 200_000)]
)
async def test_asker_may_go_away_at_any_moment(
    cluster: Loopback, client: PeerClient, behaviour: Behaviour, pause: float
) -> None:
    peer = await scripted(cluster, behaviour)
    task = asyncio.create_task(read(client, peer.address))
    await asyncio.sleep(pause)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    client.close()
    await until(lambda: not peer.open)
    assert client.book.get(peer.address).running == 0
    assert client.book.get(peer.address).faults == 0
