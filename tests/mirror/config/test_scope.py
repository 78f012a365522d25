from __future__ import annotations

from ipaddress import ip_address

import pytest

from mirror.config.node import NodeConfig
from mirror.config.scope import in_scope
from mirror.errors import SetupError

SERVER = "https://10.0.0.1:6443"
BOOTSTRAP = ("/ip4/10.0.0.1",)


def test_what_this_version_does_is_taken_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    config = NodeConfig(node_ip=(ip_address("10.0.0.2"),), token="t", bootstrap=BOOTSTRAP)
    assert in_scope(config) == config
    assert caplog.messages == []


def test_what_has_no_effect_is_named(caplog: pytest.LogCaptureFixture) -> None:
    in_scope(NodeConfig(upload_limit=1000, snapshotter="stargz"))
    assert sorted(caplog.messages) == [
        "snapshotter is set, and has no effect in this version",
        "upload-limit is set, and has no effect in this version",
    ]


def test_server_of_a_shared_file_is_passed_over_where_bootstrap_leads_to_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = in_scope(NodeConfig(server=SERVER, bootstrap=BOOTSTRAP))
    assert config.mirrors
    assert "joining a server is not part of this version" in caplog.text


def test_server_alone_leads_nowhere() -> None:
    with pytest.raises(SetupError, match=f"server is {SERVER}.*bootstrap"):
        in_scope(NodeConfig(server=SERVER))
