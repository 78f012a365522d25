"""How many manifests a second does a node answer? Beside docker-registry and nginx."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from benchmarks.content import manifest_path
from benchmarks.lab import Lab
from benchmarks.nginx import PORT, serving
from benchmarks.table import Row, beside
from benchmarks.usage import Usage
from benchmarks.wrk import run_wrk
from mirror.transfer.client import MIRRORED_HEADER
from tests.cluster.image import Image, make_image, random_layer
from tests.cluster.netns import Namespace
from tests.cluster.registry import Registry
from tests.cluster.spegla import REGISTRY_PORT
from tests.cluster.workspace import processes

_TARGET = 8.0
_UPSTREAM = 100
_UPSTREAM_PORT = 5000
_HEADERS = (f"{MIRRORED_HEADER}: true", "Accept: application/vnd.oci.image.manifest.v1+json")


@dataclass(frozen=True, slots=True)
class _Server:
    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class _Score:
    """Answers a second at the median, and the server's CPU milliseconds for each."""

    rate: float
    cpu: float


def run(lab: Lab) -> Iterator[Row]:
    """Machine 2 asks machine 1 and the registry for one manifest by digest, over and over."""
    upstream = lab.space(_UPSTREAM, "reg")
    registry = Registry(upstream, lab.folder("registry"))
    registry.start()
    image = _pull(lab, registry)
    path = manifest_path(image.repository, image.manifest)
    holder = lab.space(1)
    nginx = serving(
        holder, lab.folder("nginx"), {path.partition("?")[0]: lab.file(image.manifest)}, None
    )
    client = lab.client(2, headers=_HEADERS)
    with lab.agents(1) as [agent]:
        ours = lab.ask(client, holder.ipv4, REGISTRY_PORT, path)
        theirs = lab.ask(client, upstream.ipv4, _UPSTREAM_PORT, path)
        static = client.url(holder.ipv4, PORT, path)
        nginx.start(client, static)
        servers = {
            "ours": _Server(ours, agent.daemon.pid),
            "docker-registry": _Server(theirs, *processes(upstream.name)),
            "nginx": _Server(static, nginx.daemon.pid),
        }
        for server in servers.values():
            client.check(server.url, image.manifest)
        scores = _measure(lab, client.space, servers)
        nginx.daemon.stop()
    registry.stop()
    for name, target in ("docker-registry", _TARGET), ("nginx", None):
        mine, other = scores["ours"], scores[name]
        yield beside("manifests", mine.rate, other.rate, "/s", name=name, at_least=target)
        yield beside("manifests: CPU for each", mine.cpu, other.cpu, "ms", name=name)


def _pull(lab: Lab, registry: Registry) -> Image:
    """An image that the registry and machine 1 hold."""
    layers = [random_layer(0.01, f"manifests {number}") for number in range(4)]
    image = make_image(lab.folder("image"), "bench", layers)
    registry.push(image)
    containerd = lab.containerd(1)
    containerd.use_registry_directly()
    containerd.cri.pull(image)
    return image


def _measure(lab: Lab, space: Namespace, servers: Mapping[str, _Server]) -> dict[str, _Score]:
    seconds = lab.scale.wrk_seconds
    usages = {name: Usage(server.pid) for name, server in servers.items()}
    before = {name: usage.cpu_seconds() for name, usage in usages.items()}
    rates: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(lab.scale.rounds):
        for name, server in servers.items():
            rates[name].append(run_wrk(space, server.url, _HEADERS, seconds))
    return {
        name: _Score(
            median(found),
            1000 * (usages[name].cpu_seconds() - before[name]) / (sum(found) * seconds),
        )
        for name, found in rates.items()
    }
