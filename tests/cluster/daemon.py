"""A long-lived process in a node's namespace, and what may happen to it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.cluster.netns import Namespace
from tests.cluster.waiting import wait_until


class Daemon:
    """Starts, stops, kills and pauses one program; its output goes to a file."""

    def __init__(
        self, space: Namespace, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        """Names the program; nothing runs yet.

        Args:
            space: Where it runs.
            argv: Its command line.
            log: File that its output is appended to.
            env: Variables on top of this process's own.
        """
        self._argv = space.command(argv)
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, ready: Callable[[], bool], timeout: float = 20.0) -> None:
        """Starts it and waits until it is ready.

        Raises:
            RuntimeError: It ended instead, or was not ready within `timeout` seconds; with the
                last lines of its output.
        """
        if self.alive:
            raise RuntimeError(f"{self._argv} runs already")
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._env,
                start_new_session=True,
            )
        try:
            wait_until("it to be ready", lambda: not self.alive or ready(), timeout)
        except TimeoutError as error:
            raise RuntimeError(f"{error}; its last words:\n{self.last_words()}") from error
        if not self.alive:
            code = self._running().returncode
            raise RuntimeError(f"it ended with {code}; its last words:\n{self.last_words()}")

    def stop(self, timeout: float = 15.0) -> None:
        """Asks it to end (SIGTERM) and waits; does nothing when it does not run.

        Raises:
            RuntimeError: It did not end in time and was killed.
        """
        if not self.alive:
            return
        process = self._running()
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            self.kill()
            words = self.last_words()
            raise RuntimeError(f"it ignored SIGTERM for {timeout:g} s:\n{words}") from error

    def kill(self) -> None:
        """SIGKILL: no goodbye. Does nothing when it does not run."""
        if self.alive:
            self._running().kill()
            self._running().wait(10)

    def pause(self) -> None:
        """SIGSTOP: its connections stay open and nothing answers on them."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Ends `pause`."""
        self._running().send_signal(signal.SIGCONT)

    def output(self) -> str:
        """All that it has printed, over all its starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def last_words(self, lines: int = 40) -> str:
        """The end of its output."""
        return "\n".join(self.output().splitlines()[-lines:])

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self._argv} was never started")
        return self._process
