"""The pull API over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from multidict import CIMultiDictProxy

from mirror.oci.digest import Digest
from mirror.store.layout import LayoutStore
from mirror.store.memory import MemoryStore
from tests.mirror.loopback import Loopback, LoopbackNode, loopback, until
from tests.mirror.sample import make_sample

SAMPLE = make_sample(200_000)
MIRRORED = {"X-Spegel-Mirrored": "true"}


class Client:
    """Asks one node as containerd does."""

    def __init__(self, session: aiohttp.ClientSession, node: LoopbackNode, port: int) -> None:
        self.session = session
        self.base = f"http://{node.address}:{port}"
        self.node = node

    async def ask(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, CIMultiDictProxy[str], bytes]:
        renamed = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, self.base + path, headers=renamed) as response:
            return response.status, response.headers, await response.read()


@pytest.fixture
async def cluster() -> AsyncIterator[Loopback]:
    async with loopback() as cluster:
        yield cluster


@pytest.fixture
async def client(cluster: Loopback) -> AsyncIterator[Client]:
    store = MemoryStore(ready=True)
    for data in (SAMPLE.manifest, *SAMPLE.blobs):
        store.add(data)
    store.set_name("docker.io/library/sample:1", SAMPLE.digest)
    store.set_name("docker.io/library/sample:latest", SAMPLE.digest)
    node = await cluster.node(store)
    async with aiohttp.ClientSession() as session:
        yield Client(session, node, cluster.port)


def blob_path(data: bytes, query: str = "?ns=docker.io") -> str:
    return f"/v2/library/sample/blobs/{Digest.of(data)}{query}"


async def test_v2_says_that_this_is_a_registry(client: Client) -> None:
    for path in ("/v2/", "/v2"):
        assert (await client.ask(path))[0] == 200


@pytest.mark.parametrize("reference", ["1", str(SAMPLE.digest)])
async def test_manifest_comes_with_its_own_media_type_and_digest(
    client: Client, reference: str
) -> None:
    status, headers, body = await client.ask(
        f"/v2/library/sample/manifests/{reference}?ns=docker.io"
    )
    assert (status, body) == (200, SAMPLE.manifest)
    assert headers["Content-Type"] == "application/vnd.oci.image.manifest.v1+json"
    assert headers["Docker-Content-Digest"] == SAMPLE.digest
    assert headers["ETag"] == f'"{SAMPLE.digest}"'


async def test_head_tells_size_without_a_body(client: Client) -> None:
    status, headers, body = await client.ask(blob_path(SAMPLE.layer), "HEAD")
    assert (status, body) == (200, b"")
    assert headers["Content-Length"] == str(len(SAMPLE.layer))
    assert "Content-Encoding" not in headers


async def test_digest_is_answered_without_ns(client: Client) -> None:
    assert (await client.ask(blob_path(SAMPLE.layer, "")))[2] == SAMPLE.layer


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-99", 10, 100),
        ("bytes=100000-", 100_000, len(SAMPLE.layer)),
        ("bytes=-7", len(SAMPLE.layer) - 7, len(SAMPLE.layer)),
        ("bytes=5-99999999", 5, len(SAMPLE.layer)),
    ],
)
async def test_range_is_206_with_just_these_bytes(
    client: Client, asked: str, start: int, stop: int
) -> None:
    status, headers, body = await client.ask(blob_path(SAMPLE.layer), Range=asked)
    assert status == 206
    assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(SAMPLE.layer)}"
    assert body == SAMPLE.layer[start:stop]


async def test_range_past_end_is_416_with_the_size(client: Client) -> None:
    status, headers, body = await client.ask(blob_path(SAMPLE.layer), Range="bytes=999999999-")
    assert status == 416
    assert headers["Content-Range"] == f"bytes */{len(SAMPLE.layer)}"
    assert b'"RANGE_INVALID"' in body


@pytest.mark.parametrize(
    "asked", ["bytes=5-1", "bytes=a-b", "bytes=0-1,4-5", "bytes=", "bytes=--1"]
)
async def test_malformed_range_is_400(client: Client, asked: str) -> None:
    assert (await client.ask(blob_path(SAMPLE.layer), Range=asked))[0] == 400


async def test_range_in_another_unit_is_ignored(client: Client) -> None:
    assert (await client.ask(blob_path(SAMPLE.layer), Range="lines=1-2"))[0] == 200


async def test_if_range_with_another_etag_sends_everything(client: Client) -> None:
    path = blob_path(SAMPLE.layer)
    assert (await client.ask(path, Range="bytes=0-9", If_Range='"sha256:other"'))[0] == 200
    etag = f'"{Digest.of(SAMPLE.layer)}"'
    assert (await client.ask(path, Range="bytes=0-9", If_Range=etag))[0] == 206


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_known_etag_is_304(client: Client, method: str) -> None:
    etag = f'"{Digest.of(SAMPLE.layer)}"'
    status, _, body = await client.ask(blob_path(SAMPLE.layer), method, If_None_Match=etag)
    assert (status, body) == (304, b"")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v2/library/sample/blobs/sha256:" + "0" * 64, 404, "BLOB_UNKNOWN"),
        ("/v2/library/sample/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("/v2/library/sample/manifests/latest", 404, "MANIFEST_UNKNOWN"),
        ("/v2/library/sample/blobs/sha256:XYZ", 400, "DIGEST_INVALID"),
        ("/v2/library/sample/manifests/bad~tag", 400, "NAME_INVALID"),
        ("/v2/Upper/case/manifests/1", 400, "NAME_INVALID"),
        ("/v2/library/sample/manifests/1?ns=a%20b", 400, "NAME_INVALID"),
        ("/v2/library/sample/manifests/1?ns=private.example", 404, "NAME_UNKNOWN"),
        ("/v2/library/sample/tags/list", 404, "NAME_UNKNOWN"),
        ("/v2/x", 404, "NAME_UNKNOWN"),
        ("/nothing", 404, "NAME_UNKNOWN"),
        ("/", 404, "NAME_UNKNOWN"),
    ],
)
async def test_every_error_is_oci_json(client: Client, path: str, status: int, code: str) -> None:
    got, headers, body = await client.ask(path)
    assert got == status
    assert headers["Content-Type"] == "application/json"
    assert f'"code": "{code}"'.encode() in body


async def test_uploads_are_refused(client: Client) -> None:
    status, _, body = await client.ask("/v2/library/sample/blobs/uploads/", "POST")
    assert status == 405
    assert b"UNSUPPORTED" in body


async def test_manifest_asked_as_blob_is_not_found(client: Client) -> None:
    assert (await client.ask(blob_path(SAMPLE.manifest), **MIRRORED))[0] == 404
    layer = f"/v2/library/sample/manifests/{Digest.of(SAMPLE.layer)}?ns=docker.io"
    assert (await client.ask(layer, **MIRRORED))[0] == 404


async def test_content_of_a_registry_not_mirrored_never_leaves(client: Client) -> None:
    secret = b"secret" * 100
    assert isinstance(client.node.store, MemoryStore)
    digest = client.node.store.add(secret, ["private.example"])
    client.node.store.set_name("docker.io/library/leak:1", digest)
    assert (await client.ask(blob_path(secret), **MIRRORED))[0] == 404
    assert (await client.ask(blob_path(secret)))[0] == 404


async def test_unmirrored_request_goes_to_a_peer_and_counts_as_a_hit(
    cluster: Loopback, client: Client
) -> None:
    other = await cluster.node()
    for data in (SAMPLE.manifest, *SAMPLE.blobs):
        cluster.network.known_holders[Digest.of(data)] = [client.node.address]
    cluster.network.known_holders["docker.io/library/sample:1"] = [client.node.address]
    through = Client(client.session, other, cluster.port)
    for path, data in (
        ("/v2/library/sample/manifests/1?ns=docker.io", SAMPLE.manifest),
        (f"/v2/library/sample/manifests/{SAMPLE.digest}?ns=docker.io", SAMPLE.manifest),
        (blob_path(SAMPLE.config), SAMPLE.config),
        (blob_path(SAMPLE.layer), SAMPLE.layer),
    ):
        status, _, body = await through.ask(path)
        assert (status, body) == (200, data)
    assert (await through.ask(blob_path(SAMPLE.layer), Range="bytes=100-199"))[2] == (
        SAMPLE.layer[100:200]
    )
    assert 'spegel_mirror_requests_total{cache="hit",registry="docker.io"} 5.0' in (
        (await through.ask("/metrics"))[2].decode()
    )


async def test_mirrored_request_is_never_mirrored_again(cluster: Loopback, client: Client) -> None:
    other = await cluster.node()
    cluster.network.known_holders[Digest.of(SAMPLE.layer)] = [client.node.address]
    through = Client(client.session, other, cluster.port)
    assert (await through.ask(blob_path(SAMPLE.layer), **MIRRORED))[0] == 404


async def test_readyz_names_the_obstacle(cluster: Loopback, client: Client) -> None:
    node = await cluster.node(obstacle=lambda: "containerd is away")
    status, _, body = await Client(client.session, node, cluster.port).ask("/readyz")
    assert (status, body) == (503, b"not ready: containerd is away")
    assert (await client.ask("/readyz"))[0] == 200
    assert (await client.ask("/livez"))[0] == 200


async def test_large_file_goes_out_whole_and_in_part(
    cluster: Loopback, client: Client, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = LayoutStore(tmp_path_factory.mktemp("layout"))
    large = make_sample(20_000_000, seed=3)
    running = asyncio.create_task(store.run())
    cluster.stack.callback(running.cancel)
    await until(lambda: store.ready)
    async with await store.ingest(Digest.of(large.layer), len(large.layer)) as ingest:
        await ingest.write(large.layer)
        await ingest.commit("", "docker.io")
    node = await cluster.node(store)
    other = await cluster.node()
    cluster.network.known_holders[Digest.of(large.layer)] = [node.address]
    for serving in (node, other):
        asking = Client(client.session, serving, cluster.port)
        assert (await asking.ask(blob_path(large.layer)))[2] == large.layer
        part = await asking.ask(blob_path(large.layer), Range="bytes=1000000-15000000")
        assert part[2] == large.layer[1_000_000:15_000_001]
    await until(lambda: not other.client.book.get(node.address).running)
