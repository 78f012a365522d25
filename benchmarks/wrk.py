"""wrk: how many requests a second a server answers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.client import Untrue
from tests.cluster.netns import Namespace

_CONNECTIONS = 16


def run_wrk(space: Namespace, url: str, headers: Sequence[str], seconds: int) -> float:
    """Runs wrk with one thread and 16 connections; returns answers a second.

    Raises:
        Untrue: Not all answers were good.
    """
    words = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds}s"]
    for header in headers:
        words += ["-H", header]
    return rate_in(space.run([*words, url], seconds + 10.0))


def rate_in(printed: str) -> float:
    """The rate that wrk printed.

    Raises:
        Untrue: It printed that answers failed, or no rate.
    """
    rate = re.search(r"^Requests/sec:\s*([\d.]+)", printed, re.MULTILINE)
    if rate is None or "Non-2xx" in printed or "Socket errors" in printed:
        raise Untrue(f"wrk says:\n{printed}")
    return float(rate[1])
