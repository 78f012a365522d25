from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mirror.oci.digest import Digest
from mirror.store.journal import Journal
from mirror.store.port import Content

ONE = Content(Digest.of(b"1"), 1, "", frozenset({"docker.io", "ghcr.io"}))
TWO = Content(Digest.of(b"22"), 2, "text/plain", frozenset())


def test_what_was_noted_is_loaded(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "content.jsonl")
    assert journal.load() == {}
    journal.note([ONE, TWO])
    journal.forget(TWO.digest)
    assert journal.load() == {ONE.digest: ONE}
    journal.replace([TWO])
    assert journal.load() == {TWO.digest: TWO}
    assert (tmp_path / "content.jsonl").read_bytes().count(b"\n") == 1


def test_damaged_lines_cost_only_themselves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "content.jsonl"
    journal = Journal(path)
    journal.note([ONE])
    nonsense = (
        b"\xff\n[]\n3\n{}\n" + b"[" * 100_000 + b"\n"
        b'{"digest": "sha256:../x", "size": 1}\n'
        b'{"digest": "%s", "size": "x", "mediaType": "", "registries": []}\n'
        b'{"digest": "%s", "size": 1, "mediaType": "", "registries": [3]}\n'
    ) % (TWO.digest.encode(), TWO.digest.encode())
    with path.open("ab") as file:
        file.write(nonsense)
    journal.note([TWO])
    with path.open("ab") as file:
        file.write(b'{"digest": "sha256:aaaa')
    with caplog.at_level(logging.WARNING):
        assert journal.load() == {ONE.digest: ONE, TWO.digest: TWO}
    assert "9 damaged lines" in caplog.text
