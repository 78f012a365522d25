"""The hosts.toml files that we write, as real containerds understand them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
import trustme

from mirror.cluster.certificates import TlsFiles, certificates
from mirror.config.certsd import apply_hosts
from mirror.config.node import NodeConfig
from mirror.config.registries import load_registries
from tests.cluster import upstreams
from tests.cluster.containerd import Build, Containerd
from tests.cluster.cri import PullFailed
from tests.cluster.daemon import Daemon
from tests.cluster.image import busybox_layer, make_image
from tests.cluster.netns import Namespace
from tests.cluster.upstreams import Request, Upstream
from tests.cluster.workspace import Workspace, end_processes

pytestmark = pytest.mark.cluster

HOST = "n1.test"
REGISTRY = f"{HOST}:7000"
REPOSITORY = "team/app"


class Site:
    """A node with a containerd, certificates and registries on its own addresses."""

    def __init__(self, build: Build, space: Namespace, folder: Path, ca: trustme.CA) -> None:
        folder.mkdir()
        self.image = make_image(folder, REPOSITORY, [busybox_layer()])
        self.containerd = Containerd(build, space, folder / "containerd")
        self.config = NodeConfig(
            data_dir=folder / "data",
            node_ip=(ip_address(space.ipv4),),
            private_registry=folder / "registries.yaml",
            containerd_config_path=self.containerd.certs,
        )
        self.files: TlsFiles = certificates(self.config, datetime.now(UTC))
        self.ca = folder / "upstream-ca.crt"
        ca.cert_pem.write_to_path(str(self.ca))
        leaf = ca.issue_cert(HOST)
        self._cert, self._key = folder / "upstream.crt", folder / "upstream.key"
        self._cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(self._key))
        self._space, self._folder = space, folder
        self._daemon: Daemon | None = None

    def mirror(self, **different: object) -> Upstream:
        """What stands in for this node's registry."""
        files = self.files
        mirror = Upstream(
            "mirror", 6443, cert=str(files.cert), key=str(files.key), client_ca=str(files.ca)
        )
        return replace(mirror, **different)  # type: ignore[arg-type]

    def tls(self, name: str, port: int, **different: object) -> Upstream:
        """A registry with a certificate of a private CA."""
        upstream = Upstream(name, port, cert=str(self._cert), key=str(self._key))
        return replace(upstream, **different)  # type: ignore[arg-type]

    def start(self, serving: Sequence[Upstream], registries: str) -> None:
        """Starts all, with the files that spegla writes for this registries.yaml."""
        self.config.private_registry.write_text(registries)
        tls = None if self.config.insecure_http else self.files.client
        apply_hosts(self.config, load_registries(self.config), tls)
        specification = self._folder / "upstreams.json"
        specification.write_text(
            json.dumps(
                {
                    "layout": str(self.image.layout),
                    "repository": REPOSITORY,
                    "upstreams": [asdict(upstream) for upstream in serving],
                }
            )
        )
        argv = [sys.executable, upstreams.__file__, str(specification)]
        self._daemon = Daemon(self._space, argv, self._folder / "requests.log")
        self._daemon.start(lambda: "ready" in self.log)
        self.containerd.start()

    def pull(self, registry: str = REGISTRY) -> None:
        """Pulls the image under the name of a registry."""
        self.containerd.cri.pull(f"{registry}/{REPOSITORY}:1")

    @property
    def log(self) -> str:
        """What the registries printed."""
        return self._daemon.output() if self._daemon else ""

    def requests(self) -> list[Request]:
        """What was asked so far."""
        lines = [line for line in self.log.splitlines() if line.startswith("{")]
        return [Request(**json.loads(line)) for line in lines]

    def asked(self) -> list[str]:
        """The registries that were asked for the tag, in order and each once."""
        heads = [request.upstream for request in self.requests() if request.method == "HEAD"]
        return list(dict.fromkeys(heads))

    def end(self) -> None:
        """Ends all that runs."""
        self.containerd.cri.close()
        end_processes(self._space.name)
        print("--- containerd", self.containerd.daemon.last_words(), "--- requests", self.log)


@pytest.fixture
def site(
    build: Build, spaces: list[Namespace], workspace: Workspace, ca: trustme.CA
) -> Iterator[Site]:
    number = len(list(workspace.folder.glob("site-*")))
    site = Site(build, spaces[0], workspace.folder / f"site-{number}", ca)
    yield site
    site.end()


def test_mirror_is_asked_first_with_the_certificate_it_wants(site: Site) -> None:
    site.start([site.mirror(), site.tls("own", 7000)], f"mirrors: {{'{REGISTRY}': }}")

    site.pull()

    assert {request.upstream for request in site.requests()} == {"mirror"}
    assert all(request.certificate for request in site.requests())
    assert {request.ns for request in site.requests()} == {REGISTRY}
    assert site.containerd.wrong_blobs(site.image) == []


def test_order_is_mirror_then_endpoints_then_the_registry_itself(site: Site) -> None:
    serving = [
        site.mirror(has=False),
        Upstream("plain", 7001, has=False),
        site.tls("private", 7002, has=False),
        site.tls("own", 7000),
    ]
    site.start(
        serving,
        f"""
mirrors:
  "{REGISTRY}": {{endpoint: ["http://{HOST}:7001", "https://{HOST}:7002"]}}
configs:
  "{HOST}:7002": {{tls: {{ca_file: {site.ca}}}}}
  "{REGISTRY}": {{tls: {{insecure_skip_verify: true}}}}
""",
    )

    site.pull()

    assert site.asked() == ["mirror", "plain", "private", "own"]


@pytest.mark.parametrize("token", [False, True], ids=["basic", "token service"])
@pytest.mark.parametrize("at", ["endpoint", "own"])
def test_credentials_reach_the_registry_they_are_for(site: Site, at: str, token: bool) -> None:
    guarded = {"user": "user:p\"ä'ss", "token": token}
    serving = [
        site.mirror(has=False),
        site.tls("endpoint", 7001, **(guarded if at == "endpoint" else {"has": False})),
        site.tls("own", 7000, **(guarded if at == "own" else {"has": False})),
    ]
    port = 7001 if at == "endpoint" else 7000
    configs: dict[str, dict[str, object]] = {
        f"{HOST}:{number}": {"tls": {"ca_file": str(site.ca)}} for number in (7000, 7001)
    }
    configs[f"{HOST}:{port}"]["auth"] = {"username": "user", "password": "p\"ä'ss"}
    mirrors = {REGISTRY: {"endpoint": [f"https://{HOST}:7001"]}}
    document = {"mirrors": mirrors, "configs": configs}
    site.start(serving, json.dumps(document))

    if token and site.containerd.build.name == "1.6":
        # What we know and cannot help: it sends a host's header to the registry alone.
        with pytest.raises(PullFailed, match="failed to fetch anonymous token"):
            site.pull()
        return
    site.pull()

    fetched = {request.upstream for request in site.requests() if request.status == 200}
    assert fetched == {at}


def test_prefix_rewrite_is_honoured_by_a_stock_containerd(site: Site) -> None:
    serving = [site.mirror(has=False), Upstream("proxy", 7001, prefix="hub/x/")]
    site.start(
        serving,
        f"""
mirrors:
  "{REGISTRY}": {{endpoint: ["http://{HOST}:7001"], rewrite: {{"^(.*)$": "hub/x/$1"}}}}
""",
    )

    site.pull()

    paths = [request.path for request in site.requests() if request.upstream == "proxy"]
    assert paths
    assert all(path.startswith(f"/v2/hub/x/{REPOSITORY}/") for path in paths)


@pytest.mark.parametrize("endpoints", [[], [f"http://{HOST}:7001"]], ids=["mirror", "endpoint"])
@pytest.mark.parametrize("name", [REGISTRY, "*"])
def test_registry_itself_is_never_asked_when_that_is_barred(
    site: Site, name: str, endpoints: list[str]
) -> None:
    site.config = replace(site.config, disable_default_registry_endpoint=True)
    serving = [
        site.mirror(has=False),
        Upstream("endpoint", 7001, has=False),
        Upstream("own", 7000),
    ]
    site.start(serving, json.dumps({"mirrors": {name: {"endpoint": endpoints}}}))

    with pytest.raises(PullFailed):
        site.pull()

    assert site.asked() == ["mirror", *(["endpoint"] if endpoints else [])]


def test_wildcard_mirrors_every_registry_and_falls_back_to_each(site: Site) -> None:
    site.start(
        [site.mirror(has=False), site.tls("own", 7000)],
        f'mirrors: {{"*": }}\nconfigs: {{"*": {{tls: {{ca_file: {site.ca}}}}}}}',
    )

    site.pull()

    assert site.asked() == ["mirror", "own"]
    assert [path.name for path in site.containerd.certs.iterdir()] == ["_default"]


def test_plain_mirror_needs_no_certificates(site: Site) -> None:
    site.config = replace(site.config, insecure_http=True)
    site.start([Upstream("mirror", 6443)], "mirrors: {'*': }")

    site.pull("anything.example")

    assert {request.ns for request in site.requests()} == {"anything.example"}
