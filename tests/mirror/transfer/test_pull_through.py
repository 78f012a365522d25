from __future__ import annotations

import asyncio
import json
import logging
import random
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from blockbuster import blockbuster_ctx

from mirror.config.endpoint import Auth, Endpoint
from mirror.errors import NotHere
from mirror.oci.digest import Digest
from mirror.oci.manifest import children
from mirror.oci.media import OCI_MANIFEST
from mirror.store.growing import Abandoned, Growing
from mirror.store.layout import LayoutStore
from mirror.transfer.pull_through import PullThrough
from mirror.transfer.upstream import Upstream
from mirror.transfer.upstream_error import UpstreamError
from mirror.transfer.upstream_http import Bounds
from tests.mirror.sample import make_sample
from tests.mirror.store.conformance import eventually, running
from tests.mirror.store.layout_driver import put
from tests.mirror.transfer.fake_registry import Fixed, Handler, cut_after, holding, serve
from tests.mirror.transfer.real_registry import docker_registry, skopeo

SAMPLE = make_sample()
BLOB = random.Random(3).randbytes(3_000_000)
DIGEST = Digest.of(BLOB)
BOUND = 20.0


@pytest.fixture(autouse=True)
def _nothing_blocks() -> Iterator[None]:
    with blockbuster_ctx("mirror"):
        yield


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LayoutStore]:
    store = LayoutStore(tmp_path / "layout")
    async with running(store):
        yield store


@asynccontextmanager
async def pulling(store: LayoutStore, *endpoints: Endpoint) -> AsyncIterator[PullThrough]:
    bounds = Bounds(attempts=2, backoff=0.01)
    async with (
        Upstream(Fixed(endpoints), bounds) as upstream,
        PullThrough(store, upstream) as pull,
    ):
        yield pull


async def whole(growing: Growing) -> bytes:
    blob = growing.open()
    try:
        parts, offset = [], 0
        async with asyncio.timeout(BOUND):
            while (size := await growing.grown(offset)) > offset:
                parts.append(await blob.read(offset, size - offset))
                offset = size
        return b"".join(parts)
    finally:
        blob.close()


class Gate:
    """Sends half a blob, and the rest when it is opened."""

    def __init__(self, blob: bytes = BLOB) -> None:
        self.opened = asyncio.Event()
        self._blob = blob

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = len(self._blob)
        await response.prepare(request)
        await response.write(self._blob[: len(self._blob) // 2])
        await self.opened.wait()
        await response.write(self._blob[len(self._blob) // 2 :])
        return response


async def test_callers_share_one_download_and_read_while_it_runs(store: LayoutStore) -> None:
    gate = Gate()
    async with serve(gate) as registry, pulling(store, registry.endpoint()) as pull:
        asked = [pull.blob("docker.io", "x", DIGEST) for _ in range(3)]
        one, *others = await asyncio.gather(*asked)
        assert all(other is one for other in others)
        assert one.total == len(BLOB)
        async with asyncio.timeout(BOUND):
            assert await one.grown(1_000_000) > 1_000_000
        assert store.find(DIGEST) is None
        late = await pull.blob("docker.io", "another/repository", DIGEST)
        readers = [asyncio.create_task(whole(each)) for each in (one, late)]
        gate.opened.set()
        assert await asyncio.gather(*readers) == [BLOB, BLOB]
        assert len(registry.requests) == 1
        content = store.find(DIGEST)
        assert content is not None
        assert content.registries == {"docker.io"}


async def test_caller_that_goes_away_disturbs_nobody(store: LayoutStore) -> None:
    gate = Gate()
    async with serve(gate) as registry, pulling(store, registry.endpoint()) as pull:

        async def call() -> bytes:
            return await whole(await pull.blob("docker.io", "x", DIGEST))

        early, staying = asyncio.create_task(call()), asyncio.create_task(call())
        await asyncio.sleep(0)
        early.cancel()
        await eventually(lambda: store.growing(DIGEST) is not None, "it grows")
        leaving = asyncio.create_task(call())
        await asyncio.sleep(0.01)
        leaving.cancel()
        gate.opened.set()
        assert await staying == BLOB
        assert len(registry.requests) == 1


async def test_download_goes_on_when_nobody_is_left(store: LayoutStore) -> None:
    async with serve(holding(BLOB)) as registry, pulling(store, registry.endpoint()) as pull:
        call = asyncio.create_task(pull.blob("docker.io", "x", DIGEST))
        await eventually(lambda: bool(registry.requests), "it is asked")
        call.cancel()
        await eventually(lambda: store.find(DIGEST) is not None, "it is kept")


async def test_leaving_the_context_ends_downloads(store: LayoutStore, tmp_path: Path) -> None:
    async with serve(Gate()) as registry:
        async with pulling(store, registry.endpoint()) as pull:
            growing = await pull.blob("docker.io", "x", DIGEST)
            reader = asyncio.create_task(whole(growing))
            await asyncio.sleep(0)
        with pytest.raises(Abandoned):
            await reader
    assert list((tmp_path / "layout" / "ingest").iterdir()) == []


async def test_failures_before_the_first_byte_reach_all_callers(store: LayoutStore) -> None:
    async def missing(request: web.BaseRequest) -> web.Response:
        await asyncio.sleep(0.05)
        return web.Response(status=404 if "blobs" in request.path else 500)

    async with serve(missing) as registry, pulling(store, registry.endpoint()) as pull:
        calls = [pull.blob("docker.io", "x", DIGEST) for _ in range(2)]
        assert [type(e) for e in await asyncio.gather(*calls, return_exceptions=True)] == [
            NotHere, NotHere,
        ]  # fmt: skip
        assert len(registry.requests) == 1
        with pytest.raises(UpstreamError):
            await pull.manifest("docker.io", "x", "1")
        with pytest.raises(NotHere):
            await pull.blob("docker.io", "x", DIGEST)


@pytest.mark.parametrize("fault", ["wrong bytes", "cut"])
async def test_failures_in_mid_body_keep_nothing_and_the_next_call_starts_anew(
    store: LayoutStore, tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    handler: Handler

    async def broken(request: web.BaseRequest) -> web.StreamResponse:
        if fault == "cut":
            return await cut_after(BLOB, 100_000, request)
        return web.Response(body=BLOB[:-1] + b"?")

    handler = broken

    async def current(request: web.BaseRequest) -> web.StreamResponse:
        return await handler(request)

    async with serve(current) as registry, pulling(store, registry.endpoint()) as pull:
        with caplog.at_level(logging.WARNING), pytest.raises(Abandoned):
            await whole(await pull.blob("docker.io", "x", DIGEST))
        assert store.find(DIGEST) is None
        handler = holding(BLOB)
        assert await whole(await pull.blob("docker.io", "x", DIGEST)) == BLOB
        await eventually(lambda: "failed" in caplog.text, "it is logged")
    assert list((tmp_path / "layout" / "ingest").iterdir()) == []


async def test_full_disk_is_told_and_leaves_nothing(store: LayoutStore, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with serve(holding(BLOB)) as registry, pulling(store, registry.endpoint()) as pull:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        try:
            with pytest.raises(Abandoned, match="too large"):
                await whole(await pull.blob("docker.io", "x", DIGEST))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert await whole(await pull.blob("docker.io", "x", DIGEST)) == BLOB
    assert list((tmp_path / "layout" / "ingest").iterdir()) == []


async def test_blob_that_will_not_fit_fails_before_the_first_byte(store: LayoutStore) -> None:
    async def huge(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 1 << 60
        await response.prepare(request)
        await asyncio.sleep(60)
        return response

    async with serve(huge) as registry, pulling(store, registry.endpoint()) as pull:
        with pytest.raises(OSError, match="no space"):
            await pull.blob("docker.io", "x", DIGEST)


async def test_tag_is_kept_with_its_manifest(store: LayoutStore) -> None:
    async with (
        serve(holding(SAMPLE.manifest)) as registry,
        pulling(store, registry.endpoint()) as pull,
    ):
        calls = [pull.manifest("docker.io", "library/x", "1") for _ in range(2)]
        one, two = await asyncio.gather(*calls)
        assert one == two == store.find(SAMPLE.digest)
        assert len(registry.requests) == 1
        assert one.media_type == OCI_MANIFEST
        assert store.resolve("docker.io/library/x:1") == SAMPLE.digest
        again = await pull.manifest("reg.example:5000", "x", SAMPLE.digest)
        assert again.digest == SAMPLE.digest
        held = store.find(SAMPLE.digest)
        assert held is not None
        assert held.registries == {"docker.io", "reg.example"}


async def test_same_manifest_by_tag_and_digest_at_once(store: LayoutStore) -> None:
    async with (
        serve(holding(SAMPLE.manifest)) as registry,
        pulling(store, registry.endpoint()) as pull,
    ):
        wanted = ["1", "2", SAMPLE.digest, "3"]
        found = await asyncio.gather(*(pull.manifest("docker.io", "x", each) for each in wanted))
        assert {content.digest for content in found} == {SAMPLE.digest}


@pytest.mark.parametrize("passwords", [False, True], ids=["open", "passwords"])
async def test_image_of_a_real_registry(
    store: LayoutStore, tmp_path: Path, passwords: bool
) -> None:
    source = LayoutStore(tmp_path / "source")
    async with running(source):
        for data in (*SAMPLE.blobs, SAMPLE.manifest):
            await put(source, data)
        await source.tag("docker.io/library/sample:1", SAMPLE.digest)
    async with docker_registry(tmp_path, passwords=passwords) as host:
        await skopeo(
            "copy", "--dest-tls-verify=false", *(["--dest-creds=user:secret"] * passwords),
            f"oci:{tmp_path}/source:docker.io/library/sample:1",
            f"docker://{host}/library/sample:1",
        )  # fmt: skip
        auth = Auth("user", "secret") if passwords else None
        endpoint = Endpoint(f"http://{host}/v2", auth=auth)
        async with pulling(store, endpoint) as pull:
            content = await pull.manifest("docker.io", "library/sample", "1")
            for child in children(SAMPLE.manifest):
                await whole(await pull.blob("docker.io", "library/sample", child.digest))
            with pytest.raises(NotHere):
                await pull.manifest("docker.io", "library/sample", "2")
            with pytest.raises(NotHere):
                await pull.blob("docker.io", "library/sample", Digest.of(b"nowhere"))
        assert content.digest == SAMPLE.digest
        async with Upstream(Fixed((endpoint,))) as upstream:
            found = await upstream.resolve("docker.io", "library/sample", "1")
            assert found.digest == SAMPLE.digest
            async with upstream.open_blob(
                "docker.io", "library/sample", Digest.of(SAMPLE.layer), offset=100
            ) as download:
                rest = [chunk async for chunk in download.chunks()]
                assert b"".join(rest) == SAMPLE.layer[100:]
    layout = f"oci:{tmp_path}/layout:docker.io/library/sample:1"
    assert json.loads(await skopeo("inspect", layout))["Digest"] == SAMPLE.digest
    await skopeo("copy", layout, f"dir:{tmp_path}/copy")
