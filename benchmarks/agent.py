"""What an agent's own metrics say of a measurement."""

from __future__ import annotations

from benchmarks.client import Untrue
from tests.cluster.spegla import Spegla
from tests.cluster.waiting import wait_until


def wait_advertised(agent: Spegla, blobs: int) -> None:
    """Waits until an agent has advertised that many blobs.

    Raises:
        TimeoutError: It had not after a minute.
    """
    name = "spegel_advertised_content_digests"
    wait_until(f"{blobs} blobs to be advertised", lambda: agent.metric(name) >= blobs, 60)


def check_relayed(agent: Spegla, expected: int) -> None:
    """Checks that an agent has sent this many bytes which came from peers.

    Raises:
        Untrue: It has sent another number.
    """
    relayed = agent.metric("spegla_sent_bytes_total", source="peer")
    if relayed != expected:
        raise Untrue(f"{relayed:.0f} bytes came through a peer, expected {expected}")


def check_under_way(agent: Spegla, handler: str, count: int) -> None:
    """Checks that an agent has at least `count` requests of a kind under way.

    Raises:
        Untrue: There are fewer.
    """
    found = agent.metric("http_requests_inflight", handler=handler)
    if found < count:
        raise Untrue(f"{found:.0f} transfers were under way, expected {count}")
