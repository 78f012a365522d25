from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.config.containerd_toml import snippet, touches_cri, with_config_path
from mirror.errors import SetupError

FOLDER = Path("/etc/containerd/certs.d")
CRI = "io.containerd.grpc.v1.cri"
IMAGES = "io.containerd.cri.v1.images"


def add(text: str) -> str:
    return with_config_path(text, FOLDER, "config.toml")


def test_snippet_is_right_for_the_version() -> None:
    old = tomllib.loads(snippet("1.6.20~ds1", FOLDER))
    assert old["version"] == 2
    assert old["plugins"][CRI]["registry"]["config_path"] == str(FOLDER)
    assert old["plugins"][CRI]["containerd"]["discard_unpacked_layers"] is False
    new = tomllib.loads(snippet("v2.1.9", FOLDER))
    assert new["version"] == 3
    assert new["plugins"][IMAGES]["registry"]["config_path"] == str(FOLDER)
    assert new["plugins"][IMAGES]["discard_unpacked_layers"] is False


@pytest.mark.parametrize("version", ["", "x", "latest", "2"])
def test_wrong_version_is_refused(version: str) -> None:
    with pytest.raises(SetupError, match="expected one such as"):
        snippet(version, FOLDER)


@pytest.mark.parametrize(
    ("text", "plugin"),
    [
        ("version = 2\n", CRI),
        ("version = 3\n", IMAGES),
        (f'version = 2\n[plugins."{CRI}"]\n  sandbox_image = "x"\n', CRI),
        (f'version = 2\n[plugins."{CRI}".registry]\n\n[grpc]\naddress = "a"', CRI),
        (f"version = 3\n[plugins.'{IMAGES}'.registry]\n  config_path = ''\n", IMAGES),
        (
            f"""version = 2
[plugins]
  [plugins."{CRI}".registry]
    config_path = ""
    [plugins."{CRI}".registry.mirrors]
""",
            CRI,
        ),
        (f'version = 2\n[plugins."{CRI}".registry.headers]\n  a = ["b"]\n', CRI),
        (f'version = 2\n[plugins."{CRI}".registry.configs.a.auth]\n  username = "b"\n', CRI),
    ],
)
def test_setting_is_added_and_nothing_else_changed(text: str, plugin: str) -> None:
    after = tomllib.loads(add(text))
    assert after["plugins"][plugin]["registry"].pop("config_path") == str(FOLDER)
    before = tomllib.loads(text)
    before.setdefault("plugins", {}).setdefault(plugin, {}).setdefault("registry", {}).pop(
        "config_path", None
    )
    assert after == before


def test_setting_that_is_there_is_left() -> None:
    text = f'version = 2\n[plugins."{CRI}".registry]\nconfig_path = "/x:{FOLDER}" # mine\n'
    assert add(text) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "containerd config migrate"),
        ("version = 1", "containerd config migrate"),
        ("version = 2\n[", "no valid TOML"),
        ('version = 2\ndisabled_plugins = ["cri"]', "switches CRI off"),
        (f'version = 2\n[plugins."{CRI}".registry]\nconfig_path = "/other"', "path /other"),
        (f'version = 2\n[plugins."{CRI}".registry.mirrors.a]\nendpoint = []', "registries.yaml"),
        (
            f'version = 2\n[plugins."{CRI}".registry.configs.a.tls]\nca_file = "x"',
            "registries.yaml",
        ),
        (f'version = 2\n[plugins."{CRI}".containerd]\ndiscard_unpacked_layers = true', "discard"),
        (f'version = 3\n[plugins."{IMAGES}"]\ndiscard_unpacked_layers = true', "discard"),
        (f'version = 2\n[plugins]\n"{CRI}" = {{ registry = {{}} }}', "by hand"),
        (f'version = 2\na = """\n[plugins."{CRI}".registry]\n"""', "by hand"),
    ],
)
def test_what_cannot_be_edited_safely_is_refused(text: str, message: str) -> None:
    with pytest.raises(SetupError, match=message) as caught:
        add(text)
    assert str(caught.value).startswith("config.toml: ")


def test_imported_file_with_the_same_plugin_is_seen() -> None:
    assert touches_cri({"plugins": {CRI: {}}})
    assert not touches_cri({"plugins": {"other": {}}})


@given(st.text(alphabet='[]"=plugins.registry\n 23version{}', max_size=60))
def test_nonsense_is_edited_or_refused(text: str) -> None:
    with contextlib.suppress(SetupError):
        assert tomllib.loads(add("version = 2\n" + text))["plugins"]
