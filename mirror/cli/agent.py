"""`spegla agent`: runs a node until it is told to stop."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mirror import log
from mirror.cli.flags import with_node_flags
from mirror.config.load import load


@with_node_flags
def agent(flags: Mapping[str, object]) -> None:
    """Run this node: share its images with other nodes, and fetch from them what it lacks.

    Without --server it is a stand-alone node, which mirrors what registries.yaml lists.
    """
    log.setup(debug=bool(flags.get("debug")))
    config = load("agent", flags, os.environ)
    log.setup(config.debug)
    # All that a running node needs is loaded only here: `spegla --help` does without.
    from mirror.agent import run  # noqa: PLC0415

    run(config)
