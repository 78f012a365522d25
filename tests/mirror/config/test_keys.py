from __future__ import annotations

import pytest

from mirror.config.keys import K3S_KEYS, misspelt
from mirror.config.load import option_names

OURS = [name.replace("_", "-") for name in option_names()]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("embeded-registry", "embedded-registry"),
        ("p2pport", "p2p-port"),
        ("node-ips", "node-ip"),
        ("private-registy", "private-registry"),
        ("p2p-prot", "p2p-port"),
    ],
)
def test_misspelt_key_is_recognised(key: str, meant: str) -> None:
    assert misspelt(key, OURS) == meant


@pytest.mark.parametrize("key", ["kubelet-arg", "something-else-entirely", "embedded-registry", ""])
def test_other_keys_are_not_ours(key: str) -> None:
    assert misspelt(key, OURS) is None


def test_no_key_of_k3s_is_taken_for_a_mistake() -> None:
    assert [key for key in K3S_KEYS if misspelt(key, OURS)] == []
    assert K3S_KEYS.isdisjoint(OURS)
