"""One node's `spegla agent`: its flags and files, what it serves and says."""

from __future__ import annotations

import http.client
import json
import re
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import trustme
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.containerd import Containerd
from tests.cluster.daemon import Daemon
from tests.cluster.image import REGISTRY, Image
from tests.cluster.netns import CommandFailed, Namespace

REGISTRY_PORT = 6443
P2P_PORT = 5001

_PROGRAM = str(Path(sys.executable).with_name("spegla"))

# The upstream speaks plain HTTP, so it must be named: the default endpoint would be https.
_REGISTRIES = f"""\
mirrors:
  "{REGISTRY}":
    endpoint: ["http://{REGISTRY}"]
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """The status of an HTTP answer and the seconds until it was complete."""

    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Tls:
    """A node's certificate, its key, and the CA that all nodes' certificates are from."""

    ca: Path
    cert: Path
    key: Path


def issue(ca: trustme.CA, space: Namespace, folder: Path) -> Tls:
    """Writes a node's certificate, good for serving and for asking, below `folder`."""
    folder.mkdir(parents=True)
    tls = Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    leaf = ca.issue_cert(space.ipv4, space.ipv6, "127.0.0.1", "::1", "localhost")
    ca.cert_pem.write_to_path(str(tls.ca))
    tls.cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(tls.key))
    return tls


class Spegla:
    """A stand-alone agent beside one containerd."""

    def __init__(
        self,
        containerd: Containerd,
        space: Namespace,
        folder: Path,
        *,
        bootstrap: Sequence[Namespace] = (),
        tls: Tls | None = None,
        flags: Sequence[str] = (),
    ) -> None:
        """Writes its files below `folder`; nothing runs yet.

        Args:
            containerd: Whose images it shares.
            space: Where it runs.
            folder: Of its own data.
            bootstrap: Nodes that it joins; itself among them does no harm.
            tls: Its certificates; without: plain HTTP.
            flags: Further command-line flags.
        """
        folder.mkdir(parents=True)
        registries = folder / "registries.yaml"
        registries.write_text(_REGISTRIES)
        self._space = space
        self._tls = tls
        self._data = folder / "data"
        security = ["--insecure-http"]
        if tls:
            security = [f"--tls-ca={tls.ca}", f"--tls-cert={tls.cert}", f"--tls-key={tls.key}"]
        others = [other for other in bootstrap if other != space]
        argv = [
            *(_PROGRAM, "agent", "--supervisor-metrics"),
            *("--data-dir", str(self._data)),
            *("--node-ip", space.ipv4),
            *("--node-name", space.name),
            *("--store", "containerd"),
            *("--containerd-address", str(containerd.socket)),
            *("--containerd-config-path", str(containerd.certs)),
            *("--private-registry", str(registries)),
            *(f"--bootstrap=/ip4/{other.ipv4}/tcp/{P2P_PORT}" for other in others),
            *security,
            *flags,
        ]
        self.daemon = Daemon(space, argv, folder / "spegla.log")

    @property
    def address(self) -> str:
        """Where its registry answers, without a path."""
        return f"{'https' if self._tls else 'http'}://{self._space.ipv4}:{REGISTRY_PORT}"

    def start(self) -> None:
        """Starts it and waits until it says that it is ready."""
        self.daemon.start(self.ready)

    def ready(self) -> bool:
        """What /readyz says; False when nobody answers."""
        return self.answers("/readyz")

    def answers(self, path: str) -> bool:
        """Whether it answers a GET without an error."""
        try:
            self.get(path)
        except CommandFailed:
            return False
        return True

    def get(self, path: str) -> str:
        """Fetches something from its registry, from its own node.

        Raises:
            CommandFailed: No answer within 2 s, or a status of 400 and above.
        """
        return self._space.run([*self._curl(), "--fail", self.address + path])

    def head(self, paths: Sequence[str]) -> list[Answer]:
        """Sends a HEAD for each path as containerd does, one after the other on one connection.

        Raises:
            CommandFailed: One had no answer within 2 s.
        """
        curl = [*self._curl(), "--head", "--write-out", "%{http_code} %{time_total}\\n"]
        for path in paths:
            curl += ["--output", "/dev/null", f"{self.address}{path}?ns={REGISTRY}"]
        printed = self._space.run(curl)
        return [
            Answer(int(status), float(seconds))
            for status, seconds in (line.split() for line in printed.splitlines())
        ]

    def offers(self, image: Image) -> bool:
        """Whether its containerd would get an image's tag from it."""
        path = f"/v2/{image.repository}/manifests/{image.tag}"
        return self.head([path])[0].status == HTTPStatus.OK

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that bear `labels`; 0 if there is none."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.get("/metrics"))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def holders(self, key: str) -> set[str]:
        """The IP addresses of the other nodes that hold a reference or digest, by `spegla find`."""
        find = [_PROGRAM, "find", key, "--json", "--data-dir", str(self._data)]
        try:
            found = self._space.run(find, 10)
        except CommandFailed as error:
            if error.status != 1 or not error.output:
                raise
            found = error.output  # nobody
        providers = json.loads(found)["providers"]
        return {address for provider in providers for address in provider["addresses"]}

    def tell(self, target: str) -> Any:
        """What it tells its own command line about `target`, such as `/status`.

        Raises:
            OSError: Nobody answers within 5 s.
            ValueError: It answers with an error.
        """
        connection = _UnixConnection(self._data / "agent/spegla/control.sock", 5.0)
        try:
            connection.request("GET", target)
            answer = connection.getresponse()
            body = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        if answer.status != HTTPStatus.OK:
            raise ValueError(f"{target}: {answer.status} {body[:200]!r}")
        return json.loads(body)

    def finds(self, key: str, address: str) -> bool:
        """Whether it names `address` as a holder; quicker than `holders`, which runs a program."""
        socket = self._data / "agent/spegla/control.sock"
        curl = [*self._curl(), "--unix-socket", str(socket), "--get", "http://node/find"]
        found = self._space.run([*curl, "--data-urlencode", f"name={key}"])
        return any(address in provider["addresses"] for provider in json.loads(found)["providers"])

    def messages(self) -> list[str]:
        """The texts (`msg`) of its log lines so far."""
        found = re.finditer(r'\bmsg=(?:"((?:[^"\\]|\\.)*)"|(\S+))', self.daemon.output())
        return [match[1] or match[2] for match in found]

    def _curl(self) -> list[str]:
        words = ["curl", "-sS", "--max-time", "2", "--noproxy", "*"]
        if self._tls:
            tls = self._tls
            words += ["--cacert", str(tls.ca), "--cert", str(tls.cert), "--key", str(tls.key)]
        return words


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("node", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
