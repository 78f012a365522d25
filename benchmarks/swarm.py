"""Many nodes of the network, each a process with an address 127.0.0.N, in one namespace."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from benchmarks.swarm_node import PORT
from tests.cluster.containerd import CHECKOUT
from tests.cluster.netns import Namespace

_SECONDS = 60.0
_STOP_SECONDS = 10.0


class Member:
    """One node, which `benchmarks.swarm_node` runs."""

    def __init__(self, space: Namespace, number: int, folder: Path, *, forgetful: bool) -> None:
        """Starts it; the one with number 1 is where the others find the network."""
        name = f"{number}-forgetful" if forgetful else str(number)
        bootstrap = [] if number == 1 else [f"/ip4/127.0.0.1/tcp/{PORT}"]
        words = [sys.executable, "-m", "benchmarks.swarm_node", f"127.0.0.{number}"]
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                space.command([*words, str(folder / name), *bootstrap]),
                cwd=CHECKOUT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def order(self, *words: object) -> None:
        """Gives it an order; `answer` brings what comes of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:  # noqa: ANN401 (JSON)
        """What it says to the oldest order that has no answer yet.

        Raises:
            RuntimeError: It ended, or said nothing for a minute.
        """
        assert self._process.stdout is not None
        alarm = threading.Timer(_SECONDS, self._process.kill)
        alarm.start()
        try:
            line = self._process.stdout.readline()
        finally:
            alarm.cancel()
        if not line:
            said = self._log.read_text()[-2000:]
            raise RuntimeError(f"a node of the swarm ended or hung; its last words:\n{said}")
        return json.loads(line)

    def ask(self, *words: object) -> Any:  # noqa: ANN401 (JSON)
        """Gives an order and waits for its answer."""
        self.order(*words)
        return self.answer()

    def end(self) -> None:
        """Lets it close; kills it when that takes long."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)
