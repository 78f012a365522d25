"""Where a result was measured: date, machine, versions."""

from __future__ import annotations

import os
import platform
import re
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.scale import Scale
from mirror import VERSION

_TOOLS = (
    ["nginx", "-v"],
    ["docker-registry", "--version"],
    ["containerd", "--version"],
    ["curl", "--version"],
    ["wrk", "--version"],
)


def describe(scale: Scale) -> str:
    """What a reader must know to believe or repeat the figures, as Markdown."""
    tools = ", ".join(f"{tool[0]} {_version(tool)}" for tool in _TOOLS)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with spegla {VERSION} on {_processor()}, "
        f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}, Python "
        f"{platform.python_version()}, {ssl.OPENSSL_VERSION}; {tools}.\n\n"
        "Each machine is a network namespace on one switch of this machine, with a containerd "
        "and an agent of its own; clients share its cores. Ours and the peer have their turns "
        f"one after the other, {scale.rounds} each, and medians count; the client is the same "
        "(curl, wrk -t1 -c16). Bodies are checked for size each time and for their digest once. "
        "nginx has one worker, sendfile, TLS 1.3 with the same certificates as ours; as a proxy "
        "it has `proxy_buffering off`, its default `proxy_buffer_size` (a memory page; with "
        "128 KiB it was faster than ours) and a kept upstream connection, and does not check "
        "digests, which ours does."
    )


def _version(command: list[str]) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)+", ended.stdout + ended.stderr)
    return found[0] if found else "of unknown version"


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()
