from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from mirror.metrics import Metrics

SPEGEL = {
    "spegel_mirror_requests",
    "spegel_mirror_last_success_timestamp_seconds",
    "spegel_resolve_duration_seconds",
    "spegel_advertised_image_tags",
    "spegel_advertised_images",
    "spegel_advertised_image_digests",
    "spegel_advertised_content_digests",
    "spegel_advertised_keys",
    "http_request_duration_seconds",
    "http_response_size_bytes",
    "http_requests_inflight",
}


def test_every_name_of_spegel_s_dashboards_is_there() -> None:
    families = {each.name for each in text_string_to_metric_families(Metrics().render().decode())}
    assert families >= SPEGEL
    assert families >= {"spegla_failovers", "spegla_verification_failures", "process_open_fds"}


def test_hit_moves_the_time_of_the_last_success_and_a_miss_does_not() -> None:
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    metrics.mirrored("docker.io", hit=False)
    assert value("spegel_mirror_last_success_timestamp_seconds") == 0
    metrics.mirrored("docker.io", hit=True)
    assert (value("spegel_mirror_last_success_timestamp_seconds") or 0) > 1_600_000_000
    for cache in ("hit", "miss"):
        labels = {"registry": "docker.io", "cache": cache}
        assert value("spegel_mirror_requests_total", labels) == 1


def test_request_is_measured_by_handler_method_and_code() -> None:
    metrics = Metrics()
    metrics.served("blob", "GET", 206, 5000, 0.02)
    labels = {"handler": "blob", "method": "GET", "code": "206"}
    value = metrics.registry.get_sample_value
    assert value("http_response_size_bytes_sum", labels) == 5000
    assert value("http_request_duration_seconds_count", labels) == 1


def test_lookup_is_measured_when_it_fails_too() -> None:
    metrics = Metrics()
    for error in (None, KeyError):
        try:
            with metrics.lookup():
                if error:
                    raise error
        except KeyError:
            pass
    labels = {"router": "libp2p"}
    assert metrics.registry.get_sample_value("spegel_resolve_duration_seconds_count", labels) == 2


def test_names_that_anybody_may_make_up_do_not_fill_the_memory() -> None:
    metrics = Metrics()
    for number in range(2000):
        metrics.mirrored(f"r{number}.example", hit=False)
    shown = [name for name in metrics.counters() if name.startswith("spegel_mirror_requests")]
    assert len(shown) < 600
    assert sum(metrics.counters()[name] for name in shown) == 2000


def test_counters_are_readable() -> None:
    metrics = Metrics()
    metrics.mirrored("docker.io", hit=True)
    metrics.failovers.inc(3)
    counters = metrics.counters()
    assert counters["spegel_mirror_requests{registry=docker.io,cache=hit}"] == 1
    assert counters["spegla_failovers"] == 3
    assert not any("created" in name for name in counters)


def test_nodes_of_one_process_count_apart() -> None:
    one, two = Metrics(), Metrics()
    one.failovers.inc()
    assert two.counters()["spegla_failovers"] == 0
