"""How many manifests a second does a node answer? Beside docker-registry and nginx."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from benchmarks.content import manifest_path
from benchmarks.lab import Lab
from benchmarks.nginx import PORT, serving
from benchmarks.table import Row, beside
from benchmarks.wrk import requests_per_second
from mirror.transfer.client import MIRRORED_HEADER
from tests.cluster.image import make_image, random_layer
from tests.cluster.registry import Registry
from tests.cluster.spegla import REGISTRY_PORT

_TARGET = 8.0
_REGISTRY_PORT = 5000
_NUMBER = 100
_LAYERS = 4
_HEADERS = (f"{MIRRORED_HEADER}: true", "Accept: application/vnd.oci.image.manifest.v1+json")


def run(lab: Lab) -> Iterator[Row]:
    """Machine 2 asks machine 1 and the registry for one manifest by digest, over and over."""
    layers = [random_layer(0.01, f"manifests {number}") for number in range(_LAYERS)]
    image = make_image(lab.folder("image"), "bench", layers)
    upstream = lab.space(_NUMBER, "reg")
    registry = Registry(upstream, lab.folder("registry"))
    registry.start()
    registry.push(image)
    path = manifest_path(image.repository, image.manifest)
    holder = lab.space(1)
    containerd = lab.containerd(1)
    containerd.use_registry_directly()
    containerd.cri.pull(image)
    files = {path.partition("?")[0]: lab.file(image.manifest)}
    nginx = serving(holder, lab.folder("nginx"), files, None)
    client = lab.client(2, headers=_HEADERS)
    with lab.agents(1):
        urls = {
            "ours": lab.ask(client, holder.ipv4, REGISTRY_PORT, path),
            "docker-registry": lab.ask(client, upstream.ipv4, _REGISTRY_PORT, path),
            "nginx": client.url(holder.ipv4, PORT, path),
        }
        nginx.start(client, urls["nginx"])
        for url in urls.values():
            client.check(url, image.manifest)
        rates: dict[str, list[float]] = {name: [] for name in urls}
        for _ in range(lab.scale.rounds):
            for name, url in urls.items():
                rate = requests_per_second(client.space, url, _HEADERS, lab.scale.wrk_seconds)
                rates[name].append(rate)
        nginx.daemon.stop()
    registry.stop()
    ours = median(rates["ours"])
    yield beside(
        "manifests", ours, median(rates["docker-registry"]), "/s", "docker-registry", _TARGET
    )
    yield beside("manifests", ours, median(rates["nginx"]), "/s", "nginx, a static file")
