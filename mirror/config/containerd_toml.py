"""containerd's own config.toml: the setting that makes it read hosts.toml, and how to add it.

It is added to the file itself. A drop-in below `imports` would be neater, but containerd 1.6 and
1.7 replace a whole plugin's section by the drop-in's (measured with 1.6.20 and 1.7.24), so one
with our setting would throw out sandbox_image, SystemdCgroup and all else that is said there.
"""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mirror.config import toml
from mirror.errors import SetupError

_CRI = "io.containerd.grpc.v1.cri"
_CRI_IMAGES = "io.containerd.cri.v1.images"
_HEADER = re.compile(r"^\s*\[(?P<name>.*)\]\s*(?:#.*)?$")


def snippet(containerd: str, folder: Path) -> str:
    """The lines that a config.toml needs.

    Args:
        containerd: Version of containerd, such as `1.6.20` or `v2.1.9`.
        folder: The certs.d folder.

    Raises:
        SetupError: The version is none.
    """
    match = re.match(r"v?([0-9]+)\.", containerd)
    if match is None:
        raise SetupError(f"containerd's version {containerd!r} is none: expected one such as 2.1")
    version = 2 if int(match[1]) < 2 else 3
    plugin = _plugin(version)
    layers = f'plugins."{plugin}"' + (".containerd" if version == 2 else "")
    return (
        f"version = {version}\n"
        "\n"
        f"[{layers}]\n"
        "  # Layers must stay after they are unpacked, or there is nothing to share.\n"
        "  discard_unpacked_layers = false\n"
        "\n"
        f'[plugins."{plugin}".registry]\n'
        f"  config_path = {toml.string(folder)}\n"
    )


def with_config_path(text: str, folder: Path, source: str) -> str:
    """`text` with the setting added, and nothing else changed; the same text if it is there.

    Args:
        text: A config.toml.
        folder: The certs.d folder.
        source: Names the file in errors.

    Raises:
        SetupError: The file is damaged, too old, or says something that must not be changed.
    """
    before = parse_config(text, source)
    version = before.get("version")
    if version not in (2, 3):
        raise SetupError(
            f"{source}: version {version or 1} of the format is not edited: "
            "bring it up to date first with: containerd config migrate"
        )
    plugin = _plugin(version)
    if refusal(before, plugin, folder):
        raise SetupError(f"{source}: {refusal(before, plugin, folder)}")
    if _is_set(before, plugin, folder):
        return text
    after = _inserted(text, plugin, f"config_path = {toml.string(folder)}")
    expected = copy.deepcopy(before)
    registry = expected.setdefault("plugins", {}).setdefault(plugin, {}).setdefault("registry", {})
    registry["config_path"] = str(folder)
    try:
        same = tomllib.loads(after) == expected
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        raise SetupError(
            f"{source}: written in a way that cannot be edited safely: add config_path = "
            f'{toml.string(folder)} to [plugins."{plugin}".registry] by hand'
        )
    return after


def parse_config(text: str, source: str) -> dict[str, Any]:
    """Reads a config.toml.

    Raises:
        SetupError: It is no TOML.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SetupError(f"{source}: no valid TOML: {error}") from error


def refusal(config: Mapping[str, Any], plugin: str, folder: Path) -> str | None:
    """Why a configuration must not be edited, or None."""
    section = _table(config, "plugins", plugin)
    disabled = config.get("disabled_plugins")
    if isinstance(disabled, list) and {"cri", plugin, _CRI} & {str(name) for name in disabled}:
        return "disabled_plugins switches CRI off: remove it there first"
    registry = _table(section, "registry")
    current = registry.get("config_path")
    if current and not _is_set(config, plugin, folder):
        first = str(current).split(":", maxsplit=1)[0]
        return (
            f"config_path is {str(current)!r} already: run spegla with "
            f"--containerd-config-path {first}"
        )
    hosts = _table(registry, "configs")
    if registry.get("mirrors") or any(_table(hosts, host).get("tls") for host in hosts):
        return (
            f'[plugins."{plugin}".registry] has mirrors or configs with tls, which containerd '
            "does not take beside config_path: move what they say to registries.yaml first"
        )
    if _table(section, "containerd").get("discard_unpacked_layers") or section.get(
        "discard_unpacked_layers"
    ):
        return "discard_unpacked_layers is true, which leaves nothing to share: set it to false"
    return None


def touches_cri(config: Mapping[str, Any]) -> bool:
    """Whether an imported file sets the plugin that ours must be set in."""
    plugins = _table(config, "plugins")
    return _CRI in plugins or _CRI_IMAGES in plugins


def _plugin(version: object) -> str:
    return _CRI if version == 2 else _CRI_IMAGES


def _is_set(config: Mapping[str, Any], plugin: str, folder: Path) -> bool:
    current = _table(config, "plugins", plugin, "registry").get("config_path")
    return isinstance(current, str) and str(folder) in current.split(":")


def _table(config: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        inner = config.get(name)
        if not isinstance(inner, dict):
            return {}
        config = inner
    return config


def _inserted(text: str, plugin: str, line: str) -> str:
    """`text` with a line in the plugin's registry table; the caller checks that it took."""
    lines = text.splitlines()
    name = re.compile(rf"""\s*plugins\s*\.\s*["']{re.escape(plugin)}["']\s*\.\s*registry\s*""")
    for number, header in enumerate(lines):
        found = _HEADER.match(header)
        if found is None or name.fullmatch(found["name"]) is None:
            continue
        indent = header[: len(header) - len(header.lstrip())] + "  "
        for later in range(number + 1, len(lines)):
            if _HEADER.match(lines[later]):
                break
            if re.match(r"\s*config_path\s*=", lines[later]):
                lines[later] = indent + line
                return "\n".join(lines) + "\n"
        lines.insert(number + 1, indent + line)
        return "\n".join(lines) + "\n"
    return "\n".join([*lines, "", f'[plugins."{plugin}".registry]', "  " + line]) + "\n"
