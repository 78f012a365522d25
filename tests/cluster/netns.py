"""A switch and nodes as network namespaces, with addresses 10.77.0.N and fd77::N."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DEVICE = "e0"
"""A node's network device, in its own namespace."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """Where one node's processes live.

    Attributes:
        name: As `ip netns` knows it.
        ipv4: Its address on the switch.
        ipv6: Its unique local address on the switch.
        switch: The namespace that holds the bridge.
        port: The other end of its cable, on the bridge.
        hosts: What its processes see as /etc/hosts.
    """

    name: str
    ipv4: str
    ipv6: str
    switch: str
    port: str
    hosts: Path

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` in here, under the same process id.

        `ip netns exec` would mount /sys anew, and runc would find no cgroups there.
        """
        return [
            *("nsenter", f"--net=/run/netns/{self.name}"),
            *("unshare", "--mount", "--propagation", "slave"),
            *("sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(self.hosts)),
            *argv,
        ]

    def run(self, argv: Sequence[str], timeout: float = 60.0) -> str:
        """Runs a command in here and returns what it printed.

        Raises:
            CommandFailed: It ended with another status than 0; says what it printed.
            TimeoutExpired: It did not end within `timeout` seconds.
        """
        return run(self.command(argv), timeout)


class Network:
    """The switch and the namespaces on it; they are deleted with the workspace of that tag."""

    def __init__(self, tag: str, folder: Path) -> None:
        """Makes the switch.

        Args:
            tag: Prefix of every namespace's name.
            folder: Where the hosts file is kept.
        """
        self._tag = tag
        self._hosts = folder / "hosts"
        self._hosts.write_text("127.0.0.1 localhost\n::1 localhost\n")
        self._switch = f"{tag}-switch"
        run(["ip", "netns", "add", self._switch])
        run(["ip", "-n", self._switch, "link", "add", "br0", "up", "type", "bridge"])

    def add(self, name: str, number: int) -> Namespace:
        """Makes a namespace, connects it, and gives it the host name `<name>.test`.

        Args:
            name: Short and unique, such as `n1`.
            number: Last part of its addresses, 1 to 254.
        """
        space = Namespace(
            name=f"{self._tag}-{name}",
            ipv4=f"10.77.0.{number}",
            ipv6=f"fd77::{number:x}",
            switch=self._switch,
            port=f"p-{name}",
            hosts=self._hosts,
        )
        ip = ["ip", "-n", space.name]
        run(["ip", "netns", "add", space.name])
        run([*ip, "link", "set", "lo", "up"])
        peer = ["peer", "name", space.port, "netns", self._switch]
        run([*ip, "link", "add", DEVICE, "type", "veth", *peer])
        run(["ip", "-n", self._switch, "link", "set", space.port, "master", "br0", "up"])
        run([*ip, "addr", "add", f"{space.ipv4}/24", "dev", DEVICE])
        run([*ip, "addr", "add", f"{space.ipv6}/64", "dev", DEVICE, "nodad"])
        run([*ip, "link", "set", DEVICE, "up"])
        with self._hosts.open("a") as hosts:
            hosts.write(f"{space.ipv4} {name}.test\n")
        return space


class CommandFailed(Exception):
    """A command ended with an error.

    Attributes:
        status: Its exit status.
        output: What it printed to standard output.
    """

    def __init__(self, ended: subprocess.CompletedProcess[str]) -> None:
        said = (ended.stdout + ended.stderr).strip()
        super().__init__(f"{' '.join(ended.args)} ended with {ended.returncode}: {said}")
        self.status = ended.returncode
        self.output = ended.stdout


def run(argv: Sequence[str], timeout: float = 60.0) -> str:
    """Runs a command and returns what it printed; see `Namespace.run`."""
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    if ended.returncode:
        raise CommandFailed(ended)
    return ended.stdout
