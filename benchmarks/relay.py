"""How fast does a node pass on a blob that a peer holds? Beside nginx as a proxy."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.agent import check_relayed
from benchmarks.content import blob_path
from benchmarks.contest import Contender, contest
from benchmarks.lab import LOOPBACK, Lab
from benchmarks.nginx import PORT, passing_on, serving
from benchmarks.table import Row
from tests.cluster.spegla import REGISTRY_PORT

_TARGET = 1.3
_TARGET_TLS = 1.6


def run(lab: Lab) -> Iterator[Row]:
    """Machine 2 asks its own agent as its containerd does; machine 1 holds the blob."""
    yield from _relay(lab, _TARGET, tls=False)
    yield from _relay(lab, _TARGET_TLS, tls=True)


def _relay(lab: Lab, target: float, *, tls: bool) -> list[Row]:
    digest, size = lab.large
    path = blob_path(digest)
    holder, relay = lab.space(1), lab.space(2)
    client = lab.client(2, tls=tls)
    files = {path.partition("?")[0]: lab.file(digest)}
    origin = serving(holder, lab.folder("origin"), files, lab.tls(1) if tls else None)
    proxy = passing_on(relay, lab.folder("proxy"), holder, lab.tls(2) if tls else None)
    with lab.agents(2, tls=tls) as [_, agent]:
        ours = lab.ask(client, LOOPBACK, REGISTRY_PORT, path)
        theirs = client.url(LOOPBACK, PORT, path)
        origin.start(client, client.url(holder.ipv4, PORT, path))
        proxy.start(client, theirs)
        rows = contest(
            f"relay {lab.scale.blob_text}{', TLS' if tls else ''}",
            contenders=(
                Contender("ours", ours, agent.daemon.pid),
                Contender("nginx", theirs, proxy.daemon.pid),
            ),
            client=client,
            blob=lab.large,
            rounds=lab.scale.rounds,
            at_least=target,
        )
        check_relayed(agent, (1 + lab.scale.rounds) * size)
        proxy.daemon.stop()
        origin.daemon.stop()
    return rows
