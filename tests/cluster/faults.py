"""What can happen to a node's network: a slow link, every packet lost, and the end of that."""

from __future__ import annotations

import json

from tests.cluster.netns import DEVICE, Namespace, run


def shape(node: Namespace, mbit: int) -> None:
    """Limits a node's link to `mbit` Mbit/s in each direction."""
    limit = ["root", "tbf", "rate", f"{mbit}mbit", "burst", "256k", "latency", "50ms"]
    run(["tc", "-n", node.name, "qdisc", "replace", "dev", DEVICE, *limit])
    run(["tc", "-n", node.switch, "qdisc", "replace", "dev", node.port, *limit])


def unshape(node: Namespace) -> None:
    """Takes the limit away again, if there is one."""
    none = ["root", "noqueue"]
    run(["tc", "-n", node.name, "qdisc", "replace", "dev", DEVICE, *none])
    run(["tc", "-n", node.switch, "qdisc", "replace", "dev", node.port, *none])


def drop(node: Namespace) -> None:
    """Loses every packet to and from a node without a word, as when its power is gone.

    Its neighbours still know its hardware address, so nothing tells them: they wait.
    """
    for table in "iptables", "ip6tables":
        enter = ["nsenter", f"--net=/run/netns/{node.name}", table, "--wait", "5"]
        run([*enter, "-I", "INPUT", "-i", DEVICE, "-j", "DROP"])
        run([*enter, "-I", "OUTPUT", "-o", DEVICE, "-j", "DROP"])


def heal(node: Namespace) -> None:
    """Ends `drop`."""
    for table in "iptables", "ip6tables":
        enter = ["nsenter", f"--net=/run/netns/{node.name}", table, "--wait", "5"]
        run([*enter, "-F", "INPUT"])
        run([*enter, "-F", "OUTPUT"])


def sent_bytes(node: Namespace) -> int:
    """Bytes that a node has sent since it was made, read on the switch so that it may be paused."""
    [link] = json.loads(run(["ip", "-n", node.switch, "-s", "-j", "link", "show", node.port]))
    return int(link["stats64"]["rx"]["bytes"])
