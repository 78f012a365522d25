"""How fast does a node serve a blob that it holds? Beside nginx serving the same file."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.content import blob_path
from benchmarks.contest import Contender, contest
from benchmarks.lab import Lab
from benchmarks.nginx import PORT, serving
from benchmarks.table import Row
from mirror.transfer.client import MIRRORED_HEADER
from tests.cluster.spegla import REGISTRY_PORT

_TARGET = 1.0


def run(lab: Lab) -> Iterator[Row]:
    """Machine 2 fetches from machine 1 as peers do, plain, then with certificates."""
    for tls in False, True:
        yield from _serve(lab, tls=tls)


def _serve(lab: Lab, *, tls: bool) -> list[Row]:
    digest, _ = lab.large
    path = blob_path(digest)
    holder = lab.space(1)
    client = lab.client(2, tls=tls, headers=(f"{MIRRORED_HEADER}: true",))
    files = {path.partition("?")[0]: lab.file(digest)}
    nginx = serving(holder, lab.folder("nginx"), files, lab.tls(1) if tls else None)
    with lab.agents(1, tls=tls) as [agent]:
        ours = lab.ask(client, holder.ipv4, REGISTRY_PORT, path)
        theirs = client.url(holder.ipv4, PORT, path)
        nginx.start(client, theirs)
        rows = contest(
            f"serve {lab.scale.blob_text}{', TLS' if tls else ''}",
            contenders=(
                Contender("ours", ours, agent.daemon.pid),
                Contender("nginx", theirs, nginx.daemon.pid),
            ),
            client=client,
            blob=lab.large,
            rounds=lab.scale.rounds,
            at_least=_TARGET,
        )
        nginx.daemon.stop()
    return rows
