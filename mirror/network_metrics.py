"""The network's counts, read when Prometheus asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mirror.transfer.peers import PeerBook
from p2p.status import Stats


class NetworkMetrics(Collector):
    """Peers, records, lookups and transfers of one node."""

    def __init__(self, stats: Callable[[], Stats], book: PeerBook) -> None:
        self._stats = stats
        self._book = book

    def collect(self) -> Iterator[Metric]:
        """One sample of each."""
        now = self._stats()
        yield _gauge("peers", "Peers that answer.", now.peers_up)
        yield _gauge("peers_known", "Peers in the routing table.", now.peers)
        yield _gauge("connections", "Connections to peers, both ways.", now.connections)
        yield _gauge("records", "Records held for peers.", now.records)
        yield _gauge("own_keys", "Keys this node provides.", now.own_keys)
        yield _gauge("transfers", "Bodies that peers are sending us.", self._book.running)
        yield _counter("lookups", "Walks through the network.", now.lookups)
        yield _counter(
            "lookups_unanswered", "Walks in which no peer answered.", now.lookups_unanswered
        )
        yield _counter(
            "network_request_errors", "Requests to peers that failed.", now.request_errors
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"spegla_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"spegla_{name}", text, value=value)
