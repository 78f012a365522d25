"""docs/configuration.md tells of every setting, and of none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from mirror.config import scope
from mirror.config.load import option_names
from mirror.config.node import NodeConfig

PAGE = (Path(__file__).parents[2] / "docs/configuration.md").read_text()

_SECTION = re.search(r"^## Settings$(.*?)^## ", PAGE, flags=re.DOTALL | re.MULTILINE)
_ROW = re.compile(r"^\| `([a-z0-9-]+)` \| (.*?) \| (.*) \|$", flags=re.MULTILINE)


def rows() -> dict[str, tuple[str, str]]:
    """By setting, its default and its text."""
    assert _SECTION is not None
    found = _ROW.findall(_SECTION[1])
    assert len({name for name, _, _ in found}) == len(found)
    return {name: (default, text) for name, default, text in found}


def shown(value: object) -> str:
    """A default as the page writes it."""
    if value in (None, ()):
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and value >= 1 << 20:
        return f"`{value >> 20}M`"
    return f"`{value}`"


def test_every_setting_has_its_row() -> None:
    assert rows().keys() == {name.replace("_", "-") for name in option_names()}


def test_defaults_are_those_of_the_code() -> None:
    found_at_start = {"node-name", "node-ip", "containerd-address", "containerd-config-path"}
    config = NodeConfig()
    for name, (default, _) in rows().items():
        if name not in found_at_start:
            assert default == shown(getattr(config, name.replace("-", "_"))), name


def test_what_has_no_effect_is_said_so() -> None:
    warned = {name for name, (_, text) in rows().items() if text == "A warning when it is set."}
    assert warned == {name.replace("_", "-") for name in scope._WITHOUT_EFFECT}
