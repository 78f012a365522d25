from __future__ import annotations

import asyncio
import random
import re
import socket
import traceback
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest
from aiohttp import web

from mirror.config.endpoint import Auth, Endpoint, Rewrite
from mirror.errors import NotHere
from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.oci.media import MAX_MANIFEST_BYTES, OCI_INDEX, OCI_MANIFEST
from mirror.transfer.upstream import Upstream
from mirror.transfer.upstream_error import UpstreamError
from mirror.transfer.upstream_http import MIN_CHUNK, Bounds
from tests.mirror.sample import make_sample
from tests.mirror.transfer.fake_registry import Fixed, cut_after, holding, part_of, serve

SAMPLE = make_sample(1000)
BLOB = random.Random(2).randbytes(700_000)
DIGEST = Digest.of(BLOB)
QUICK = Bounds(attempts=3, backoff=0.01, retry_after=1.0)
IMPATIENT = Bounds(connect=5.0, first_byte=0.5, stall=0.5, attempts=4, backoff=0.01)


def upstream(*endpoints: Endpoint, bounds: Bounds = QUICK) -> Upstream:
    return Upstream(Fixed(endpoints), bounds)


async def download(client: Upstream, digest: Digest = DIGEST, offset: int = 0) -> bytes:
    async with (
        client.open_blob("docker.io", "library/x", digest, offset) as blob,
        aclosing(blob.chunks()) as chunks,
    ):
        return b"".join([chunk async for chunk in chunks])


def always(status: int, **headers: str) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    async def handler(request: web.BaseRequest) -> web.Response:
        del request
        return web.Response(
            status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    return handler


async def hang(request: web.BaseRequest) -> web.Response:
    del request
    await asyncio.sleep(60)
    return web.Response()


class TestResolve:
    async def test_head_tells_all(self) -> None:
        async with serve(holding(SAMPLE.manifest)) as registry:
            async with upstream(registry.endpoint()) as client:
                found = await client.resolve("docker.io", "library/x", "1")
            assert found == Descriptor(SAMPLE.digest, len(SAMPLE.manifest), OCI_MANIFEST)
            assert registry.asked == ["HEAD /v2/library/x/manifests/1"]
            assert OCI_INDEX in registry.requests[0].headers["Accept"]

    @pytest.mark.parametrize("digest", ["", "sha256:nonsense", "md5:1234"])
    async def test_get_where_head_does_not_tell_the_digest(self, digest: str) -> None:
        async def handler(request: web.BaseRequest) -> web.Response:
            headers = {"Docker-Content-Digest": digest} if digest else {}
            return web.Response(body=SAMPLE.manifest, headers=headers, content_type=OCI_MANIFEST)

        async with serve(handler) as registry, upstream(registry.endpoint()) as client:
            assert (await client.resolve("docker.io", "x", "1")).digest == SAMPLE.digest
            assert [request.method for request in registry.requests] == ["HEAD", "GET"]

    async def test_get_where_head_is_not_allowed(self) -> None:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            if request.method == "HEAD":
                return web.Response(status=405)
            return await holding(SAMPLE.manifest)(request)

        async with serve(handler) as registry, upstream(registry.endpoint()) as client:
            assert (await client.resolve("docker.io", "x", "1")).digest == SAMPLE.digest

    async def test_body_that_is_not_what_the_header_says_is_refused(self) -> None:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            if request.method == "HEAD":
                return web.Response(status=405)
            return web.Response(
                body=b"{}", content_type=OCI_MANIFEST,
                headers={"Docker-Content-Digest": SAMPLE.digest},
            )  # fmt: skip

        async with serve(handler) as registry, upstream(registry.endpoint()) as client:
            with pytest.raises(UpstreamError, match="hash to"):
                await client.resolve("docker.io", "x", "1")

    async def test_type_is_taken_from_the_manifest_where_the_header_lies(self) -> None:
        async def handler(request: web.BaseRequest) -> web.Response:
            del request
            return web.Response(body=SAMPLE.manifest, content_type="text/plain")

        async with serve(handler) as registry, upstream(registry.endpoint()) as client:
            assert (await client.resolve("docker.io", "x", "1")).media_type == OCI_MANIFEST

    async def test_web_page_is_no_manifest(self) -> None:
        async def handler(request: web.BaseRequest) -> web.Response:
            del request
            return web.Response(text="<html>log in", content_type="text/html")

        async with serve(handler) as registry, upstream(registry.endpoint()) as client:
            with pytest.raises(UpstreamError, match="no manifest"):
                await client.resolve("docker.io", "x", "1")


class TestManifest:
    async def test_by_digest_is_verified(self) -> None:
        forged = make_sample(1000, seed=9).manifest

        async def handler(request: web.BaseRequest) -> web.Response:
            del request
            return web.Response(body=forged, content_type=OCI_MANIFEST)

        async with (
            serve(handler) as bad,
            serve(holding(SAMPLE.manifest)) as good,
            upstream(bad.endpoint()) as deceived,
            upstream(bad.endpoint(), good.endpoint()) as client,
        ):
            with pytest.raises(UpstreamError, match="hash to"):
                await deceived.manifest("docker.io", "x", SAMPLE.digest)
            found = await client.manifest("docker.io", "x", SAMPLE.digest)
            assert (found.data, found.digest) == (SAMPLE.manifest, SAMPLE.digest)

    @pytest.mark.parametrize("chunked", [False, True])
    async def test_oversize_is_refused(self, chunked: bool) -> None:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": OCI_MANIFEST})
            if not chunked:
                response.content_length = MAX_MANIFEST_BYTES * 3
            await response.prepare(request)
            for _ in range(3):
                await response.write(bytes(MAX_MANIFEST_BYTES))
            return response

        async with serve(handler) as registry, upstream(registry.endpoint()) as client:
            with pytest.raises(UpstreamError, match="more than"):
                await client.manifest("docker.io", "x", "1")

    async def test_truncated_is_refused(self) -> None:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            return await cut_after(SAMPLE.manifest, 100, request)

        async with serve(handler) as registry, upstream(registry.endpoint()) as client:
            with pytest.raises(UpstreamError, match="cut"):
                await client.manifest("docker.io", "x", SAMPLE.digest)

    async def test_trickle_is_bounded_as_a_whole(self) -> None:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": OCI_MANIFEST})
            await response.prepare(request)
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.02)

        async with (
            serve(handler) as registry,
            upstream(registry.endpoint(), bounds=IMPATIENT) as client,
            asyncio.timeout(20),
        ):
            with pytest.raises(UpstreamError, match="no whole answer"):
                await client.manifest("docker.io", "x", "1")


class TestEndpoints:
    async def test_404_everywhere_is_not_here(self) -> None:
        async with (
            serve(always(404)) as one,
            serve(always(404)) as two,
            upstream(one.endpoint(), two.endpoint()) as client,
        ):
            with pytest.raises(NotHere):
                await client.resolve("docker.io", "x", "1")
            with pytest.raises(NotHere):
                await download(client)
            assert len(one.requests) == len(two.requests) == 2

    async def test_no_endpoint_is_not_here(self) -> None:
        async with upstream() as client:
            with pytest.raises(NotHere):
                await client.manifest("docker.io", "x", "1")

    @pytest.mark.parametrize("status", [400, 403, 416, 500, 502, 204, 304])
    async def test_failure_before_404_is_an_upstream_error(self, status: int) -> None:
        async with (
            serve(always(status)) as one,
            serve(always(404)) as two,
            upstream(one.endpoint(), two.endpoint()) as client,
        ):
            with pytest.raises(UpstreamError, match=f"status {status}"):
                await download(client)

    async def test_next_endpoint_answers_for_a_broken_one(self) -> None:
        refused = Endpoint("http://127.0.0.1:1/v2", default=True)
        async with (
            serve(always(500)) as broken,
            serve(holding(BLOB)) as good,
            upstream(refused, broken.endpoint(), good.endpoint(default=False)) as client,
        ):
            assert await download(client) == BLOB
            assert good.requests[0].query["ns"] == "docker.io"

    async def test_rewrites_and_their_endpoint_only(self) -> None:
        rewrite = Rewrite(re.compile("^library/(.*)"), "mirror/$1")
        async with (
            serve(always(404)) as one,
            serve(holding(BLOB)) as two,
            upstream(one.endpoint(rewrites=(rewrite,)), two.endpoint()) as client,
        ):
            await download(client)
            assert one.asked == [f"GET /v2/mirror/x/blobs/{DIGEST}"]
            assert two.asked == [f"GET /v2/library/x/blobs/{DIGEST}"]


class TestBusy:
    async def test_429_is_waited_for(self) -> None:
        answers = iter([429, 429])

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            status = next(answers, None)
            if status is not None:
                return web.Response(status=status, headers={"Retry-After": "0"})
            return await holding(BLOB)(request)

        async with serve(handler) as registry, upstream(registry.endpoint()) as client:
            assert await download(client) == BLOB
            assert len(registry.requests) == 3

    @pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}, {"Retry-After": "nonsense"}])
    async def test_429_for_ever_is_bounded(self, headers: dict[str, str]) -> None:
        async with (
            serve(always(429, **headers)) as registry,
            upstream(registry.endpoint()) as client,
        ):
            with pytest.raises(UpstreamError, match="status 429"):
                await download(client)
            assert len(registry.requests) == QUICK.attempts

    async def test_long_retry_after_is_not_waited_for(self) -> None:
        async with (
            serve(always(429, Retry_After="3600")) as registry,
            upstream(registry.endpoint()) as client,
            asyncio.timeout(20),
        ):
            with pytest.raises(UpstreamError, match="status 429"):
                await download(client)
            assert len(registry.requests) == 1


class TestBlob:
    async def test_whole_in_large_chunks(self) -> None:
        async with serve(holding(BLOB)) as registry, upstream(registry.endpoint()) as client:
            async with client.open_blob("docker.io", "x", DIGEST) as blob:
                assert blob.total == len(BLOB)
                chunks = [chunk async for chunk in blob.chunks()]
            assert b"".join(chunks) == BLOB
            assert min(len(chunk) for chunk in chunks[:-1]) >= MIN_CHUNK

    async def test_from_an_offset(self) -> None:
        async with serve(holding(BLOB)) as registry, upstream(registry.endpoint()) as client:
            assert await download(client, offset=500_001) == BLOB[500_001:]
            assert registry.requests[0].headers["Range"] == "bytes=500001-"

    @pytest.mark.parametrize("ranges", [True, False])
    async def test_cut_is_resumed(self, ranges: bool) -> None:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            if len(registry.requests) < 3:
                return await cut_after(BLOB, 200_000, request)
            return part_of(BLOB, request) if ranges else web.Response(body=BLOB)

        async with serve(handler) as registry, upstream(registry.endpoint()) as client:
            assert await download(client) == BLOB
            assert [r.headers.get("Range") for r in registry.requests] == [
                None, "bytes=200000-", "bytes=400000-",
            ]  # fmt: skip

    async def test_body_without_length_is_read_to_its_end(self) -> None:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(BLOB)
            return response

        async with (
            serve(handler) as registry,
            upstream(registry.endpoint()) as client,
            client.open_blob("docker.io", "x", DIGEST) as blob,
        ):
            assert blob.total is None
            assert b"".join([chunk async for chunk in blob.chunks()]) == BLOB

    async def test_cuts_without_progress_are_bounded(self) -> None:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            return await cut_after(BLOB, 10, request)

        async with serve(handler) as registry, upstream(registry.endpoint()) as client:
            with pytest.raises(UpstreamError, match="given up at 30 of 700000"):
                await download(client)
            assert len(registry.requests) == QUICK.attempts

    async def test_other_endpoint_finishes_what_one_began(self) -> None:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            return await cut_after(BLOB, 1000, request)

        async with (
            serve(handler) as broken,
            serve(holding(BLOB)) as good,
            upstream(broken.endpoint(), good.endpoint()) as client,
        ):
            assert await download(client) == BLOB
            assert good.requests[0].headers["Range"] == "bytes=2000-"

    async def test_blob_deleted_in_mid_body_is_not_here(self) -> None:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            if len(registry.requests) > 1:
                return web.Response(status=404)
            return await cut_after(BLOB, 1000, request)

        async with serve(handler) as registry, upstream(registry.endpoint()) as client:
            with pytest.raises(NotHere):
                await download(client)

    async def test_size_that_changes_is_refused(self) -> None:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            if len(registry.requests) > 1:
                return part_of(BLOB + b"more", request)
            return await cut_after(BLOB, 1000, request)

        async with serve(handler) as registry, upstream(registry.endpoint()) as client:
            with pytest.raises(UpstreamError, match="it was 700000 before"):
                await download(client)

    async def test_hang_in_mid_body_is_resumed(self) -> None:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            if len(registry.requests) == 1:
                return await cut_after(BLOB, 300_000, request, hang=True)
            return part_of(BLOB, request)

        async with (
            serve(handler) as registry,
            upstream(registry.endpoint(), bounds=IMPATIENT) as client,
            asyncio.timeout(20),
        ):
            assert await download(client) == BLOB


class TestHang:
    async def test_hang_before_headers_is_bounded(self) -> None:
        async with (
            serve(hang) as registry,
            upstream(registry.endpoint(), bounds=Bounds(connect=0.1, first_byte=0.1)) as client,
            asyncio.timeout(20),
        ):
            with pytest.raises(UpstreamError, match=r"no answer within 0\.1 s"):
                await download(client)

    async def test_connection_that_is_not_accepted_is_bounded(self) -> None:
        # A full backlog drops the SYN, as a firewall does.
        with socket.socket() as listener, socket.socket() as filler:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            filler.setblocking(False)
            fillers = [filler, *(socket.socket() for _ in range(3))]
            for each in fillers:
                each.setblocking(False)
                each.connect_ex(listener.getsockname())
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/v2"
            async with upstream(Endpoint(url), bounds=Bounds(connect=0.2)) as client:
                async with asyncio.timeout(20):
                    with pytest.raises(UpstreamError, match=r"no connection within 0\.2 s"):
                        await download(client)
            for each in fillers:
                each.close()


class TestRedirect:
    async def test_to_another_host_without_credentials(self) -> None:
        async with serve(holding(BLOB)) as storage:

            async def handler(request: web.BaseRequest) -> web.StreamResponse:
                if "Authorization" not in request.headers:
                    return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
                location = f"{storage.url}{request.path}?Signature=s3cret"
                return web.Response(status=307, headers={"Location": location})

            async with (
                serve(handler) as registry,
                upstream(registry.endpoint(Auth("user", "s3cret"))) as client,
            ):
                assert await download(client, offset=10) == BLOB[10:]
                assert storage.authorizations == [None]
                assert storage.requests[0].query == {"Signature": "s3cret"}
                assert registry.authorizations[0] is None
                assert registry.authorizations[1] is not None

    async def test_on_the_same_host_keeps_credentials(self) -> None:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            if "Authorization" not in request.headers:
                return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})
            if request.path.startswith("/v2"):
                return web.Response(status=302, headers={"Location": f"/elsewhere/{DIGEST}"})
            return await holding(BLOB)(request)

        async with (
            serve(handler) as registry,
            upstream(registry.endpoint(Auth("user", "s3cret"))) as client,
        ):
            assert await download(client) == BLOB

    @pytest.mark.parametrize(
        "location",
        ["", "ftp://x/y", "file:///etc/passwd", "http://", "http://[", "http://x:99999/", "//",
         "http://x y/",
         "http://user:s3cret@127.0.0.1:1/?Signature=s3cret"],
    )  # fmt: skip
    async def test_nonsense_and_dead_targets_are_upstream_errors(self, location: str) -> None:
        async with (
            serve(always(307, Location=location)) as registry,
            upstream(registry.endpoint()) as client,
        ):
            with pytest.raises(UpstreamError) as failed:
                await download(client)
        assert "s3cret" not in "".join(traceback.format_exception(failed.value))

    async def test_endless_is_bounded(self) -> None:
        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": request.path + "x"})

        async with serve(handler) as registry, upstream(registry.endpoint()) as client:
            with pytest.raises(UpstreamError, match="redirects"):
                await download(client)
            assert len(registry.requests) == 6


async def test_nonsense_instead_of_http_is_an_upstream_error() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\x00\xff")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for scheme in ("http", "https"):
            async with upstream(Endpoint(f"{scheme}://127.0.0.1:{port}/v2")) as client:
                with pytest.raises(UpstreamError):
                    await download(client)


async def test_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(holding(BLOB)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.delenv("http_proxy", raising=False)
        monkeypatch.setenv("NO_PROXY", "direct.test")
        async with upstream(Endpoint("http://registry.test/v2", default=True)) as client:
            assert await download(client) == BLOB
        assert proxy.requests[0].headers["Host"] == "registry.test"
        async with upstream(Endpoint("http://direct.test:1/v2")) as client:
            with pytest.raises(UpstreamError):
                await download(client)
        assert len(proxy.requests) == 1
