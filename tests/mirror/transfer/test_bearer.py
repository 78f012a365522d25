from __future__ import annotations

import asyncio
import base64
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from mirror.config.endpoint import Auth
from mirror.transfer.upstream import Upstream
from mirror.transfer.upstream_error import UpstreamError
from mirror.transfer.upstream_http import Bounds
from tests.mirror.sample import make_sample
from tests.mirror.transfer.fake_registry import FakeRegistry, Fixed, holding, serve

SAMPLE = make_sample(100)
SECRET = "s3cret"
USER = Auth("user", SECRET)
BASIC = "Basic " + base64.b64encode(b"user:" + SECRET.encode()).decode()


@dataclass(slots=True)
class Service:
    """A registry that wants tokens, and the service that gives them."""

    registry: FakeRegistry
    tokens: FakeRegistry
    valid: set[str] = field(default_factory=set)
    posted: list[dict[str, str]] = field(default_factory=list)


Answer = Callable[[Service], web.Response]


def numbered(service: Service) -> web.Response:
    token = f"token-{len(service.tokens.requests)}"
    service.valid.add(token)
    return web.json_response({"token": token, "expires_in": 300})


@asynccontextmanager
async def token_service(answer: Answer = numbered) -> AsyncIterator[Service]:
    async def give(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST":
            service.posted.append({k: str(v) for k, v in (await request.post()).items()})
        return answer(service)

    async def registry(request: web.BaseRequest) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token in service.valid:
            return await holding(SAMPLE.manifest)(request)
        repository = request.path.removeprefix("/v2/").partition("/manifests/")[0]
        challenge = (
            f'Bearer realm="{service.tokens.url}/token",service="fake",'
            f'scope="repository:{repository}:pull"'
        )
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    async with serve(give) as tokens, serve(registry) as asked:
        service = Service(asked, tokens)
        yield service


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def client_of(
    service: Service, auth: Auth | None = None, now: Callable[[], float] | None = None
) -> Upstream:
    endpoints = Fixed((service.registry.endpoint(auth),))
    return Upstream(endpoints, Bounds(backoff=0.01), now or Clock())


async def ask(client: Upstream, repository: str = "library/x") -> None:
    await client.manifest("docker.io", repository, "1")


async def test_anonymous_token_is_fetched_and_kept() -> None:
    async with token_service() as service, client_of(service) as client:
        await ask(client)
        await ask(client)
        [request] = service.tokens.requests
        assert request.query == {"service": "fake", "scope": "repository:library/x:pull"}
        assert "Authorization" not in request.headers
        assert service.registry.authorizations == [None, "Bearer token-1", "Bearer token-1"]


async def test_requests_side_by_side_share_one_token() -> None:
    async with token_service() as service, client_of(service) as client:
        await asyncio.gather(*(ask(client) for _ in range(5)))
        assert len(service.tokens.requests) == 1


async def test_each_repository_has_its_own() -> None:
    async with token_service() as service, client_of(service) as client:
        await ask(client, "library/x")
        await ask(client, "library/y")
        assert [r.query["scope"] for r in service.tokens.requests] == [
            "repository:library/x:pull", "repository:library/y:pull",
        ]  # fmt: skip


async def test_password_goes_to_the_token_service_only() -> None:
    async with token_service() as service, client_of(service, USER) as client:
        await ask(client)
        assert service.tokens.authorizations == [BASIC]
        assert service.tokens.requests[0].query["account"] == "user"
        assert BASIC not in service.registry.authorizations


async def test_identity_token_is_posted() -> None:
    async with token_service() as service:
        async with client_of(service, Auth(identity_token=SECRET)) as client:
            await ask(client)
        assert service.posted == [
            {
                "grant_type": "refresh_token", "refresh_token": SECRET, "service": "fake",
                "client_id": "spegla", "scope": "repository:library/x:pull",
            }
        ]  # fmt: skip
        assert SECRET not in str(service.tokens.requests[0].url)


async def test_token_is_renewed_when_it_ends() -> None:
    clock = Clock()
    async with token_service() as service, client_of(service, now=clock) as client:
        await ask(client)
        clock.seconds += 289
        await ask(client)
        assert len(service.tokens.requests) == 1
        clock.seconds += 2
        await ask(client)
        assert len(service.tokens.requests) == 2


async def test_revoked_token_is_renewed_once() -> None:
    async with token_service() as service, client_of(service) as client:
        await ask(client)
        service.valid.clear()
        await ask(client)
        assert len(service.tokens.requests) == 2


async def test_401_for_ever_ends() -> None:
    def refused(service: Service) -> web.Response:
        del service
        return web.json_response({"access_token": "worthless"})

    async with token_service(refused) as service, client_of(service) as client:
        with pytest.raises(UpstreamError, match="status 401"):
            await ask(client)
        assert len(service.registry.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>"),
        web.Response(status=500),
        web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        web.json_response([]),
        web.json_response({}),
        web.json_response({"token": 3}),
        web.json_response({"token": ""}),
        web.json_response({"token": "a\r\nX-Evil: 1"}),
        web.json_response({"token": "a" * 100_000}),
        web.Response(body=b"[" * 60_000),
        web.Response(body=b"\xff"),
    ],
    ids=range(11),
)
async def test_nonsense_of_the_token_service(answer: web.Response) -> None:
    async with token_service(lambda _: answer) as service, client_of(service, USER) as client:
        with pytest.raises(UpstreamError) as failed:
            await ask(client)
        assert SECRET not in "".join(traceback.format_exception(failed.value))


@pytest.mark.parametrize("seconds", [0, -5, None, "x", True, 1e300, float("nan")])
async def test_nonsense_validity_is_the_specifications_default_or_a_day(seconds: object) -> None:
    def answer(service: Service) -> web.Response:
        service.valid.add("t")
        return web.json_response({"token": "t", "expires_in": seconds})

    async with token_service(answer) as service, client_of(service) as client:
        await ask(client)
        await ask(client)
        assert len(service.tokens.requests) == 1


@pytest.mark.parametrize(
    "challenge",
    ["", "Bearer", "Bearer realm=", 'Bearer realm="', "Bearer realm=ftp://x/", "Digest a=b",
     'Bearer realm="http://["', 'Bearer realm="http://x:99999"', "\x7f" * 30, "Bearer realm=/x"],
)  # fmt: skip
async def test_garbage_challenges_are_upstream_errors(challenge: str) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        del request
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    async with serve(handler) as registry:
        async with Upstream(Fixed((registry.endpoint(USER),))) as client:
            with pytest.raises(UpstreamError):
                await ask(client)
        assert registry.authorizations == [None] * len(registry.requests)


async def test_basic_is_sent_when_asked_for_and_then_at_once() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Authorization") == BASIC:
            return await holding(SAMPLE.manifest)(request)
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    async with (
        serve(handler) as registry,
        Upstream(Fixed((registry.endpoint(USER),))) as client,
    ):
        await ask(client)
        await ask(client)
        assert registry.authorizations == [None, BASIC, BASIC]


@pytest.mark.parametrize(
    ("auth", "message"), [(None, "needs username"), (USER, "status 401")], ids=["none", "wrong"]
)
async def test_basic_refused_names_the_remedy_and_no_secret(
    auth: Auth | None, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        del request
        return web.Response(status=401, headers={"WWW-Authenticate": "Basic"})

    with caplog.at_level(logging.DEBUG):
        async with (
            serve(handler) as registry,
            Upstream(Fixed((registry.endpoint(auth),))) as client,
        ):
            with pytest.raises(UpstreamError, match=message) as failed:
                await ask(client)
            with pytest.raises(UpstreamError):
                await ask(client)
    told = "".join(traceback.format_exception(failed.value)) + caplog.text
    assert SECRET not in told
    assert BASIC not in told
