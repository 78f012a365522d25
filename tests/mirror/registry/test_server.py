"""Listening, TLS between nodes, and nonsense on the socket."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
import pytest
import uvloop
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mirror.errors import SetupError
from mirror.metrics import Metrics
from mirror.oci.digest import Digest
from mirror.registry.server import serve
from mirror.store.layout import LayoutStore
from mirror.store.memory import MemoryStore
from mirror.transfer.wanted import Kind, Wanted
from tests.mirror.leaks import nothing_left
from tests.mirror.loopback import Loopback, free_port, fresh_address, loopback, until
from tests.mirror.raw_client import End, fetch
from tests.mirror.sample import make_sample
from tests.mirror.store.conformance import running
from tests.mirror.store.layout_driver import put
from tests.mirror.tls import client_context, server_context

DATA = random.Random(13).randbytes(9_000_000)
DIGEST = Digest.of(DATA)
TARGET = f"/v2/library/x/blobs/{DIGEST}?ns=docker.io"
WANTED = Wanted(Kind.BLOB, "docker.io", "library/x", DIGEST, None)
SAMPLE = make_sample(1000)


@pytest.fixture(autouse=True)
async def _nothing_left() -> AsyncIterator[None]:
    async with nothing_left():
        yield


@pytest.fixture
async def cluster() -> AsyncIterator[Loopback]:
    server = server_context(*[f"127.77.{x}.{y}" for x in range(3) for y in range(1, 251)])
    async with loopback(server_tls=server, client_tls=client_context()) as cluster:
        yield cluster


async def ask(address: str, port: int, path: str, tls: ssl.SSLContext) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://{address}:{port}{path}", ssl=tls) as response,
    ):
        return response.status, await response.read()


async def test_nodes_share_over_tls(
    cluster: Loopback, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = LayoutStore(tmp_path_factory.mktemp("layout"))
    async with running(store):
        await put(store, DATA)
        await put(store, SAMPLE.config)
        holder, asker = await cluster.node(store), await cluster.node()
        for digest in (DIGEST, Digest.of(SAMPLE.config)):
            cluster.network.known_holders[digest] = [holder.address]
        for node in (holder, asker):
            for data in (DATA, SAMPLE.config, DATA):
                path = f"/v2/library/x/blobs/{Digest.of(data)}?ns=docker.io"
                found = await ask(node.address, cluster.port, path, client_context())
                assert found == (200, data)
        asker.client.close()


async def test_memory_store_over_tls(cluster: Loopback) -> None:
    store = MemoryStore(ready=True)
    store.add(DATA)
    node = await cluster.node(store)
    assert await ask(node.address, cluster.port, TARGET, client_context()) == (200, DATA)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/", 401),
        (TARGET, 401),
        ("/metrics", 401),
        ("/nothing", 401),
        ("/livez/../v2/", 401),
        ("/livez", 200),
        ("/readyz", 200),
    ],
)
async def test_only_health_is_told_to_who_shows_no_certificate(
    cluster: Loopback, path: str, status: int
) -> None:
    store = MemoryStore(ready=True)
    store.add(DATA)
    node = await cluster.node(store)
    got, body = await ask(node.address, cluster.port, path, client_context(certificate=False))
    assert got == status
    if status == 401:
        assert b'"UNAUTHORIZED"' in body


async def test_certificate_of_another_ca_is_not_taken(cluster: Loopback) -> None:
    node = await cluster.node()
    stranger = client_context(name="theirs")
    stranger.check_hostname = False
    stranger.verify_mode = ssl.CERT_NONE
    with pytest.raises((aiohttp.ClientError, OSError)):
        await ask(node.address, cluster.port, "/livez", stranger)


async def test_peer_with_a_certificate_of_another_ca_is_not_believed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = fresh_address()
    theirs = server_context(address, name="theirs")

    async def handle(_: web.BaseRequest) -> web.Response:
        return web.Response(body=DATA)

    async with (
        loopback(server_tls=server_context(address), client_tls=client_context()) as cluster,
        serve(handle, cluster.port, theirs, address),
    ):
        node = await cluster.node()
        cluster.network.known_holders[DIGEST] = [address]
        with caplog.at_level(logging.WARNING, "spegla.transfer"), pytest.raises(LookupError):
            await node.remote.describe_blob(WANTED)
        assert node.client.book.get(address).faults == 1
    assert f"peer {address}: " in caplog.text
    assert "certificate verify failed" in caplog.text


async def test_taken_port_is_a_setup_error_that_names_it() -> None:
    async def handle(_: web.BaseRequest) -> web.Response:
        return web.Response()

    port = free_port()
    async with serve(handle, port, None, "127.0.0.1"):
        with pytest.raises(SetupError, match=f"127.0.0.1:{port}.*registry-port"):
            async with serve(handle, port, None, "127.0.0.1"):
                pass
    async with serve(handle, port, None, "127.0.0.1"):
        assert (await fetch("127.0.0.1", port, "/")).status == 200


async def test_answers_under_way_are_finished_at_the_end() -> None:
    asked = asyncio.Event()

    async def slow(_: web.BaseRequest) -> web.Response:
        asked.set()
        await asyncio.sleep(0.2)
        return web.Response(body=b"done")

    port = free_port()
    async with serve(slow, port, None, "127.0.0.1"):
        answer = asyncio.create_task(fetch("127.0.0.1", port, "/"))
        await asked.wait()
    assert (await answer).body == b"done"


async def test_a_connection_that_nobody_uses_any_more_is_closed() -> None:
    async def handle(_: web.BaseRequest) -> web.Response:
        return web.Response(text="here")

    port = free_port()
    async with serve(handle, port, None, "127.0.0.1", idle=0.1):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(10.0):
                answer = await reader.read()
        finally:
            writer.close()
    assert answer.endswith(b"here")


async def test_an_answer_without_end_does_not_hold_up_the_end() -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 1_000_000
        await response.prepare(request)
        await response.write(b"the start")
        asked.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()
        return response

    port = free_port()
    async with asyncio.timeout(5.0):
        async with serve(endless, port, None, "127.0.0.1", drain=0.2):
            answer = asyncio.create_task(fetch("127.0.0.1", port, "/"))
            await asked.wait()
        assert (await answer).end is End.FIN
        await ended.wait()


NONSENSE = [
    b"\x00" * 100,
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /v2/x/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
    b"GET http://elsewhere.example/v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET //v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v2/%00/manifests/%0d%0a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v2/\xff\xfe/manifests/1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v2/x/manifests/1?ns=%zz&ns=docker.io&ns HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v2/x/manifests/1 HTTP/1.1\r\nHost: x\r\nRange: bytes=\xff-\r\n\r\n",
    b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


async def throw(address: str, port: int, data: bytes) -> bytes:
    """What comes back; the sender is done after its bytes."""
    reader, writer = await asyncio.open_connection(address, port)
    got = b""
    with suppress(ConnectionError):
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(10.0):
            got = await reader.read(100_000)
    writer.close()
    return got


def statuses(answer: bytes) -> set[bytes]:
    return {line.split(b" ")[1] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")}


def inflight(metrics: Metrics) -> float:
    families = metrics.registry.collect()
    samples = (sample for family in families for sample in family.samples)
    return sum(each.value for each in samples if each.name == "http_requests_inflight")


@pytest.mark.parametrize("data", NONSENSE, ids=range(len(NONSENSE)))
async def test_nonsense_is_refused_and_harms_nobody(
    data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with loopback() as cluster:
        node = await cluster.node()
        answer = await throw(node.address, cluster.port, data)
        assert statuses(answer) <= {b"400", b"404", b"405", b"200"}
        assert (await fetch(node.address, cluster.port, "/livez")).end is End.COMPLETE
        await until(lambda: not inflight(node.metrics))
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR], caplog.text


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.binary(max_size=200)
        | st.text(max_size=80).map(lambda text: f"GET /v2/{text} HTTP/1.1\r\n".encode())
        | st.builds(
            lambda path, ns, value: (
                b"GET /v2/" + path + b"/manifests/1?ns=" + ns
                + b" HTTP/1.1\r\nHost: x\r\nRange: " + value + b"\r\n\r\n"
            ),
            st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=20),
        ),
        max_size=3,
    )
)  # fmt: skip
def test_no_bytes_make_an_internal_error(pieces: list[bytes]) -> None:
    async def play() -> None:
        async with loopback() as cluster:
            node = await cluster.node()
            for piece in pieces:
                assert b"500" not in statuses(await throw(node.address, cluster.port, piece))
            assert (await fetch(node.address, cluster.port, "/livez")).status == 200

    uvloop.run(play())
