"""The Grafana dashboard asks only for what a node shows."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mirror.metrics import Metrics
from mirror.network_metrics import NetworkMetrics
from mirror.transfer.peers import PeerBook
from p2p.status import Stats

DASHBOARD = Path(__file__).parents[2] / "deploy/grafana-dashboard.json"

_FUNCTIONS = r"\b[a-z_]+(?=\s*\()"
_WORDS = r"\b(?:by|on)\b\s*\([^)]*\)|\band\b"
_MATCHERS = r"\{[^}]*\}"
_RANGES = r"\[[^]]*\]"
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"


class QuietNode:
    """A node of the network in which nothing happens."""

    def stats(self) -> Stats:
        return Stats(**{field.name: 0 for field in fields(Stats)})


@pytest.fixture(scope="module")
def shown() -> dict[str, frozenset[str]]:
    """The names of all samples that a node exposes, and the labels of each."""
    metrics = Metrics()
    metrics.registry.register(NetworkMetrics(QuietNode().stats, PeerBook()))
    # Samples with labels show from their first use on.
    metrics.mirrored("docker.io", hit=True)
    metrics.served("mirror", "GET", 200, 1, 0.1)
    metrics.requests_inflight.labels("mirror").inc()
    metrics.bytes.labels("store").inc()
    metrics.service_failures.labels("store").inc()
    for gauge in (
        metrics.advertised_tags,
        metrics.advertised_images,
        metrics.advertised_image_digests,
        metrics.advertised_content_digests,
        metrics.advertised_keys,
    ):
        gauge.labels("docker.io").set(1)
    with metrics.lookup():
        pass
    found: dict[str, frozenset[str]] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, frozenset()) | frozenset(sample.labels)
    return found


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return document


def targets(dashboard: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target


def expressions(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is asked, with who asks."""
    for title, target in targets(dashboard):
        yield title, target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.findall(_NAME, variable["query"]["query"])[1:]
            yield f"${variable['name']}", f'{metric}{{{label}=""}}'


def metric_names(expression: str) -> set[str]:
    bare = re.sub(f"{_MATCHERS}|{_RANGES}", " ", expression)
    bare = re.sub(_FUNCTIONS, " ", re.sub(_WORDS, " ", bare))
    return set(re.findall(_NAME, bare))


def test_every_metric_is_one_that_a_node_shows(
    dashboard: dict[str, Any], shown: dict[str, frozenset[str]]
) -> None:
    asked = {name for _, expression in expressions(dashboard) for name in metric_names(expression)}

    assert asked - shown.keys() == set()
    assert len(asked) > 20


def test_every_label_is_one_that_its_metric_has(
    dashboard: dict[str, Any], shown: dict[str, frozenset[str]]
) -> None:
    from_prometheus = {"instance", "job"}
    for title, expression in expressions(dashboard):
        for metric, matchers in re.findall(rf"({_NAME})(?=\{{)\{{([^}}]*)\}}", expression):
            asked = set(re.findall(rf"({_NAME})\s*[!=]", matchers))
            assert asked <= shown[metric] | from_prometheus, title
        grouped = re.findall(r"\bby\s*\(([^)]*)\)", expression)
        asked = {label.strip() for group in grouped for label in group.split(",")}
        known = set[str]().union(*(shown[name] for name in metric_names(expression)))
        assert asked <= known | from_prometheus, title


def test_all_that_operators_know_from_spegel_is_on_it(dashboard: dict[str, Any]) -> None:
    asked = {name for _, expression in expressions(dashboard) for name in metric_names(expression)}

    assert {
        "spegel_mirror_requests_total",
        "spegel_mirror_last_success_timestamp_seconds",
        "spegel_resolve_duration_seconds_bucket",
        "spegel_advertised_image_tags",
        "spegel_advertised_image_digests",
        "spegel_advertised_content_digests",
        "spegel_advertised_keys",
        "http_request_duration_seconds_bucket",
        "http_requests_inflight",
    } <= asked


def test_every_query_goes_to_the_data_source_that_is_chosen(dashboard: dict[str, Any]) -> None:
    first, *others = dashboard["templating"]["list"]
    assert (first["name"], first["type"], first["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert [variable["datasource"] for variable in others] == [chosen] * len(others)
    for title, target in targets(dashboard):
        assert target["datasource"] == chosen, title


def test_panels_have_their_own_ids_and_places(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = set(
            itertools.product(
                range(place["x"], place["x"] + place["w"]),
                range(place["y"], place["y"] + place["h"]),
            )
        )
        assert taken.isdisjoint(cells), panel["title"]
        taken |= cells


def test_titles_and_queries_are_there(dashboard: dict[str, Any]) -> None:
    assert dashboard["uid"] == "spegla"
    assert dashboard["schemaVersion"] >= 36
    for panel in dashboard["panels"]:
        assert panel["title"]
        assert panel["type"] == "row" or panel["targets"], panel["title"]
