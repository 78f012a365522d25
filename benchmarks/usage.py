"""What a program costs: CPU and memory of a process and its children, read from /proc."""

from __future__ import annotations

import os
import re
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class Usage:
    """The costs of one program, workers included."""

    def __init__(self, pid: int) -> None:
        """Looks at process `pid` and the processes that it has started."""
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self._processes = [Path(f"/proc/{number}") for number in (pid, *children)]

    def cpu_seconds(self) -> float:
        """Since its start, in user and system mode."""
        return sum(map(_ticks, self._processes)) / _TICKS

    def resident_mib(self) -> float:
        """Memory now; what processes share is counted for each."""
        return sum(_kib(process, "VmRSS") for process in self._processes) / 1024

    def peak_mib(self) -> float:
        """The most memory that it took since its start or the last `forget_peak`."""
        return sum(_kib(process, "VmHWM") for process in self._processes) / 1024

    def forget_peak(self) -> None:
        """Lets `peak_mib` begin anew."""
        for process in self._processes:
            (process / "clear_refs").write_text("5")  # proc(5): resets VmHWM


def _ticks(process: Path) -> int:
    # After the name, which is in brackets and may hold anything: utime and stime are the 12th
    # and 13th.
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _kib(process: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", (process / "status").read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"{process}/status tells no {name}")
    return int(found[1])
