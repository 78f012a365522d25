"""The folder and the name prefix of one test session, and the end of what an earlier one left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

PREFIX = "spegla-cluster-"
OWNER = "owner"  # locked by the session while it lives, whatever becomes of its process id


class Workspace:
    """A folder of our own; its name is also the prefix of the session's network namespaces.

    Leaving it ends every process in those namespaces and removes all of it.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.tag = tag_of(self.folder)
        self._owner = os.open(self.folder / OWNER, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._owner, fcntl.LOCK_EX)

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *error: object) -> None:
        remove(self.folder)
        os.close(self._owner)


def tag_of(folder: Path) -> str:
    """The prefix of the namespaces that belong to a session's folder."""
    return "spegla-" + folder.name.removeprefix(PREFIX)


def sweep() -> list[Path]:
    """Removes what sessions left that ended without cleaning up; returns their folders."""
    found = []
    for folder in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        try:
            owner = os.open(folder / OWNER, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # still running
        else:
            remove(folder)
            found.append(folder)
        finally:
            os.close(owner)
    return found


def remove(folder: Path) -> None:
    """Ends the processes of a session, deletes its namespaces, then its folder."""
    tag = tag_of(folder)
    for namespace in (path.name for path in Path("/run/netns").glob(f"{tag}-*")):
        end_processes(namespace)
        subprocess.run(["ip", "netns", "delete", namespace], check=True)
    shutil.rmtree(folder, ignore_errors=True)


def end_processes(namespace: str, timeout: float = 10.0) -> None:
    """Kills every process in a network namespace, containerd's shims included.

    Raises:
        TimeoutError: Some would not go.
    """
    deadline = time.monotonic() + timeout
    while pids := processes(namespace):
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {pids} in {namespace} did not end in {timeout:g} s")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def processes(namespace: str) -> list[int]:
    """The ids of the processes in a network namespace, zombies left out."""
    listing = subprocess.run(
        ["ip", "netns", "pids", namespace], check=True, capture_output=True, text=True
    )
    return [int(line) for line in listing.stdout.split()]
