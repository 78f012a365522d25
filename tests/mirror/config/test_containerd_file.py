from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mirror.config.containerd_file import BACKUP_SUFFIX, add_config_path, create
from mirror.errors import SetupError

CRI = "io.containerd.grpc.v1.cri"


def test_backup_is_kept_and_rights_stay(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("version = 2\n")
    file.chmod(0o640)
    assert add_config_path(file, tmp_path / "certs.d")
    assert tomllib.loads(file.read_text())["plugins"][CRI]["registry"]
    assert file.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / f"config.toml{BACKUP_SUFFIX}").read_text() == "version = 2\n"
    assert not add_config_path(file, tmp_path / "certs.d")


def test_refused_file_is_untouched(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("version = 1\n")
    with pytest.raises(SetupError):
        add_config_path(file, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_imported_file_that_sets_the_same_plugin_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('version = 2\nimports = ["conf.d/*.toml"]\n')
    other = tmp_path / "conf.d/nvidia.toml"
    other.parent.mkdir()
    other.write_text(f'version = 2\n[plugins."{CRI}"]\nsandbox_image = "x"\n')
    with pytest.raises(SetupError, match=f"--file {other}"):
        add_config_path(file, tmp_path)
    other.write_text("version = 2\n")
    assert add_config_path(file, tmp_path)


def test_missing_folder_is_made_for_a_new_file(tmp_path: Path) -> None:
    create(tmp_path / "etc/config.toml", "version = 2\n")
    assert (tmp_path / "etc/config.toml").read_text() == "version = 2\n"


def test_unreadable_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="run as root"):
        add_config_path(tmp_path, tmp_path)
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SetupError, match="UTF-8"):
        add_config_path(tmp_path / "b.toml", tmp_path)
