from __future__ import annotations

from pathlib import Path

import pytest

from mirror.config.atomic import write_atomically


def test_file_is_replaced_with_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    path.chmod(0o644)
    write_atomically(path, b"new", 0o600)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_left_when_it_fails(tmp_path: Path) -> None:
    (tmp_path / "folder/x").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder", b"new", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
