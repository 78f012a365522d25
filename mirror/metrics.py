"""Prometheus metrics: Spegel's names and labels, so that its dashboards work, and ours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_MAX_REGISTRIES = 500
_SIZES = [1024 * 5**n for n in range(10)]
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """All metrics of one node.

    Attributes:
        mirror_requests: Requests of this node's containerd, by whether peers could serve them.
        bytes: Bytes sent, by where they came from (`store`, `peer`, `upstream`).
        failovers: Times a body moved to another peer, in mid-body or before.
        verification_failures: Bodies whose bytes did not match their digest.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.mirror_requests = Counter(
            "spegel_mirror_requests",
            "Requests to the mirror, by whether a peer or this node served them.",
            ["registry", "cache"],
            registry=registry,
        )
        self.last_success = Gauge(
            "spegel_mirror_last_success_timestamp_seconds",
            "When the mirror last served a request.",
            registry=registry,
        )
        self.resolve_duration = Histogram(
            "spegel_resolve_duration_seconds",
            "Seconds until a peer answered with the content, or nobody was left to ask.",
            ["router"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.advertised_tags = self._by_registry("spegel_advertised_image_tags", "Tags")
        self.advertised_images = self._by_registry("spegel_advertised_images", "Images")
        self.advertised_image_digests = self._by_registry(
            "spegel_advertised_image_digests", "Manifests and indexes"
        )
        self.advertised_content_digests = self._by_registry(
            "spegel_advertised_content_digests", "Blobs"
        )
        self.advertised_keys = self._by_registry("spegel_advertised_keys", "Keys")
        self.request_duration = Histogram(
            "http_request_duration_seconds",
            "Seconds that a request took, body included.",
            ["handler", "method", "code"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.response_size = Histogram(
            "http_response_size_bytes",
            "Bytes of a response's body.",
            ["handler", "method", "code"],
            buckets=_SIZES,
            registry=registry,
        )
        self.requests_inflight = Gauge(
            "http_requests_inflight", "Requests being served.", ["handler"], registry=registry
        )
        self.bytes = Counter(
            "spegla_sent_bytes",
            "Bytes sent, by where they came from.",
            ["source"],
            registry=registry,
        )
        self.sent = {name: self.bytes.labels(name) for name in ("store", "peer", "upstream")}
        self.failovers = Counter(
            "spegla_failovers", "Bodies that moved to another peer.", registry=registry
        )
        self.verification_failures = Counter(
            "spegla_verification_failures",
            "Bodies whose bytes did not match their digest.",
            registry=registry,
        )
        self.corrupt_content = Counter(
            "spegla_corrupt_content",
            "Content found corrupt in this node's store, and not shared any more.",
            registry=registry,
        )
        self.loop_stall = Gauge(
            "spegla_event_loop_longest_stall_seconds",
            "Longest time that the event loop was held up in the last minute.",
            registry=registry,
        )
        self._registries: set[str] = set()
        # Looking a label set up costs more than counting; the caches bound how many there are.
        self._inflight = lru_cache(maxsize=64)(self.requests_inflight.labels)
        self._mirrored = lru_cache(maxsize=4096)(self.mirror_requests.labels)
        self._served = lru_cache(maxsize=1024)(self._served_by)
        self.service_failures = Counter(
            "spegla_service_failures",
            "Times a part of the node failed and was started again.",
            ["service"],
            registry=registry,
        )

    @contextmanager
    def lookup(self) -> Iterator[None]:
        """Measures one search for a peer."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.resolve_duration.labels("libp2p").observe(time.perf_counter() - started)

    def mirrored(self, registry: str, *, hit: bool) -> None:
        """Counts a request of this node's containerd.

        With `*` mirrored any name may come, so that only the first 500 are told apart.
        """
        if registry not in self._registries:
            if len(self._registries) >= _MAX_REGISTRIES:
                registry = "other"
            self._registries.add(registry)
        self._mirrored(registry, "hit" if hit else "miss").inc()
        if hit:
            self.last_success.set_to_current_time()

    @contextmanager
    def inflight(self, handler: str) -> Iterator[None]:
        """Counts a request while it is served."""
        gauge = self._inflight(handler)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()

    def served(self, handler: str, method: str, code: int, size: int, seconds: float) -> None:
        """Counts one request at its end."""
        duration, sizes = self._served(handler, method, code)
        duration.observe(seconds)
        sizes.observe(size)

    def counters(self) -> dict[str, float]:
        """Requests, bytes and failures so far, for people: `name{label}` to number."""
        shown = (self.mirror_requests, self.bytes, self.failovers, self.verification_failures)
        families = (family for counter in shown for family in counter.collect())
        return {
            _readable(sample.name, sample.labels): sample.value
            for family in families
            for sample in family.samples
            if sample.name.endswith("_total")
        }

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)

    def _served_by(self, handler: str, method: str, code: int) -> tuple[Histogram, Histogram]:
        labels = handler, method, str(code)
        return self.request_duration.labels(*labels), self.response_size.labels(*labels)

    def _by_registry(self, name: str, what: str) -> Gauge:
        return Gauge(name, f"{what} advertised to peers.", ["registry"], registry=self.registry)


def _readable(name: str, labels: dict[str, str]) -> str:
    shown = ",".join(f"{label}={value}" for label, value in labels.items())
    return name.removesuffix("_total") + (f"{{{shown}}}" if shown else "")
