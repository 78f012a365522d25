"""What can be set and does nothing in this version: said at the start, not passed over."""

from __future__ import annotations

import logging
from dataclasses import fields, replace

from mirror.config.node import NodeConfig
from mirror.errors import SetupError

log = logging.getLogger("spegla.config")

_WITHOUT_EFFECT = frozenset(
    {
        "zone",
        "upload_limit",
        "web_address",
        "snapshotter",
        "airgap_extra_registry",
    }
)


def in_scope(config: NodeConfig) -> NodeConfig:
    """The settings as this version acts on them; warns of those that it does not.

    `server` stands in the config.yaml of every K3s agent, so it may stay there as long as other
    nodes are named by `bootstrap`.

    Raises:
        SetupError: A server is to be joined, and nothing else leads to other nodes.
    """
    for field in fields(config):
        if field.name in _WITHOUT_EFFECT and getattr(config, field.name) != field.default:
            flag = field.name.replace("_", "-")
            log.warning("%s is set, and has no effect in this version", flag)
    if config.server is None:
        return config
    if not config.bootstrap:
        raise SetupError(
            f"server is {config.server}: joining a server is not part of this version: name other "
            "nodes by bootstrap, all with certificates of one tls-ca and the same psk-file; "
            "server may then stay where K3s needs it"
        )
    log.warning(
        "server is %s: joining a server is not part of this version, other nodes are found by "
        "bootstrap alone",
        config.server,
    )
    return replace(config, server=None)
