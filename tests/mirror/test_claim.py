from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mirror.claim import claimed
from mirror.errors import SetupError


def test_folder_is_its_owners_alone(tmp_path: Path) -> None:
    with claimed(tmp_path / "agent/spegla"):
        assert stat.S_IMODE((tmp_path / "agent/spegla").stat().st_mode) == 0o700


def test_second_node_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    with claimed(tmp_path):
        with (
            pytest.raises(SetupError, match=f"another spegla runs on {tmp_path}: .* --data-dir"),
            claimed(tmp_path),
        ):
            pass
        with pytest.raises(SetupError), claimed(tmp_path):  # the refused one freed nothing
            pass
    with claimed(tmp_path):
        pass


def test_folder_that_cannot_be_made_is_a_setup_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(SetupError, match=r"file.*Not a directory.*--data-dir"),
        claimed(tmp_path / "file" / "spegla"),
    ):
        pass
