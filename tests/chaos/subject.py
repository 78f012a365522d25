"""A node that suffers, and what it knows of that afterwards."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from tests.chaos.plan import Fault, What
from tests.cluster import faults
from tests.cluster.image import REGISTRY
from tests.cluster.node import Node


@dataclass
class Subject:
    """A node of the soak.

    Attributes:
        name: Short, such as `n1`.
        node: The real thing.
        spared: Whether its agent lives from the start to the end.
        starts: Seconds that its agents took to be ready after they were killed or ended.
        problems: What went wrong while it was mended.
        containerd_away: When its containerd was not there, in seconds of `time.monotonic()`.
    """

    name: str
    node: Node
    spared: bool
    starts: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    containerd_away: list[tuple[float, float]] = field(default_factory=list)
    _hosts: threading.Lock = field(default_factory=threading.Lock)

    def suffer(self, fault: Fault, ended: threading.Event) -> None:
        """Carries a fault out from its beginning to its end, which comes early once `ended`."""
        agent, containerd = self.node.spegla.daemon, self.node.containerd
        match fault.what:
            case What.AGENT_KILLED:
                agent.kill()
                ended.wait(fault.lasts)
                self._start_agent()
            case What.AGENT_RESTARTED:
                agent.stop()
                ended.wait(fault.lasts)
                self._start_agent()
            case What.AGENT_PAUSED:
                agent.pause()
                ended.wait(fault.lasts)
                agent.resume()
            case What.CONTAINERD_KILLED | What.CONTAINERD_RESTARTED:
                began = time.monotonic()
                self.containerd_away.append((began, float("inf")))
                if fault.what is What.CONTAINERD_KILLED:
                    containerd.daemon.kill()
                else:
                    containerd.daemon.stop()
                ended.wait(fault.lasts)
                containerd.start()
                self.containerd_away[-1] = (began, time.monotonic())
            case What.CONTAINERD_PAUSED:
                containerd.daemon.pause()
                ended.wait(fault.lasts)
                containerd.daemon.resume()
            case What.CUT_OFF:
                faults.drop(self.node.space)
                ended.wait(fault.lasts)
                faults.heal(self.node.space)

    def had_containerd(self, since: float) -> bool:
        """Whether its containerd was there all the time from `since` until now."""
        return all(end < since for _, end in self.containerd_away)

    def pull_directly(self, reference: str, timeout: float) -> None:
        """Pulls as if there were no mirror.

        Raises:
            PullFailed: That fails as well.
        """
        hosts = self.node.containerd.certs / REGISTRY / "hosts.toml"
        with self._hosts:
            ours = hosts.read_text()
            self.node.containerd.use_registry_directly()
            try:
                self.node.containerd.cri.pull(reference, timeout)
            finally:
                hosts.write_text(ours)

    def _start_agent(self) -> None:
        with self._hosts:  # it writes hosts.toml
            began = time.monotonic()
            try:
                self.node.spegla.start()
            except RuntimeError as error:
                self.problems.append(f"{self.name}: agent not ready again, {error}")
            else:
                self.starts.append(time.monotonic() - began)
