from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from mirror.config.endpoint import Tls
from mirror.oci.digest import Digest
from mirror.transfer.upstream import Upstream
from mirror.transfer.upstream_error import UpstreamError
from tests.mirror.sample import make_sample
from tests.mirror.transfer.fake_registry import Fixed, holding, serve

SAMPLE = make_sample(100)


class Authority:
    """A CA, a server certificate for 127.0.0.1 and a client's, as files."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self.ca, self.cert, self.key = (folder / name for name in ("ca", "cert", "key"))
        self._ca.cert_pem.write_to_path(self.ca)
        client = self._ca.issue_cert("client.test")
        client.private_key_pem.write_to_path(self.key)
        client.cert_chain_pems[0].write_to_path(self.cert)

    def server(self, *, client_required: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert("127.0.0.1").configure_cert(context)
        self._ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED if client_required else ssl.CERT_OPTIONAL
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def ask(client: Upstream) -> Digest:
    return (await client.manifest("docker.io", "x", "1")).digest


async def test_certificate_of_an_unknown_ca_is_refused(authority: Authority) -> None:
    async with (
        serve(holding(SAMPLE.manifest), authority.server()) as registry,
        Upstream(Fixed((registry.endpoint(),))) as client,
    ):
        with pytest.raises(UpstreamError, match="certificate"):
            await ask(client)


@pytest.mark.parametrize("skip", [True, False])
async def test_ca_and_skip_verify(authority: Authority, skip: bool) -> None:
    tls = Tls(skip_verify=True) if skip else Tls(ca=authority.ca)
    async with (
        serve(holding(SAMPLE.manifest), authority.server()) as registry,
        Upstream(Fixed((registry.endpoint(tls=tls),))) as client,
    ):
        assert await ask(client) == SAMPLE.digest


async def test_client_certificate_stays_with_its_host(authority: Authority) -> None:
    tls = Tls(authority.ca, authority.cert, authority.key)
    async with serve(holding(SAMPLE.manifest), authority.server()) as storage:

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": storage.url + request.path})

        async with (
            serve(handler, authority.server(client_required=True)) as registry,
            Upstream(Fixed((registry.endpoint(tls=Tls(ca=authority.ca)),))) as without,
            Upstream(Fixed((registry.endpoint(tls=tls),))) as client,
        ):
            assert await ask(client) == SAMPLE.digest
            [request] = storage.requests
            assert request.get_extra_info("peercert") in (None, {})
            with pytest.raises(UpstreamError):
                await ask(without)


async def test_unreadable_files_are_named(tmp_path: Path, authority: Authority) -> None:
    nonsense = tmp_path / "nonsense"
    nonsense.write_bytes(b"\0nonsense")
    for tls in (Tls(ca=tmp_path / "gone"), Tls(ca=nonsense), Tls(cert=nonsense, key=authority.key)):
        async with (
            serve(holding(SAMPLE.manifest), authority.server()) as registry,
            Upstream(Fixed((registry.endpoint(tls=tls),))) as client,
        ):
            with pytest.raises(UpstreamError, match=r"TLS files .*(gone|nonsense)"):
                await ask(client)
