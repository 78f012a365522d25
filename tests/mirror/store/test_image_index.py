from __future__ import annotations

import json

import pytest

from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest
from mirror.store.image_index import REF_NAME, ImageIndex, InvalidIndex, is_full_name

NAME = "docker.io/library/busybox:1"
ONE = Descriptor(Digest.of(b"1"), 1, "text/plain")
TWO = Descriptor(Digest.of(b"22"), 2, "text/plain")


def test_a_name_moves_and_other_entries_stay() -> None:
    foreign = {**ONE.document(), "annotations": {REF_NAME: "short"}, "platform": {"os": "plan9"}}
    index = ImageIndex.parse(json.dumps({"manifests": [foreign, 3], "custom": 1}).encode())
    index = index.with_name(NAME, ONE).with_name(NAME, TWO)
    assert index.names() == {NAME: TWO}
    again = ImageIndex.parse(index.encode())
    assert again.document["manifests"][:2] == [foreign, 3]
    assert len(again.document["manifests"]) == 3
    assert again.document["custom"] == 1


@pytest.mark.parametrize(
    "data", [b"", b"x", b"[]", b"{}", b'{"manifests": {}}', b"[" * 100_000, b"\xff"]
)
def test_nonsense_is_no_index(data: bytes) -> None:
    with pytest.raises(InvalidIndex):
        ImageIndex.parse(data)


def test_malformed_entries_are_passed_over() -> None:
    entries: list[object] = [
        None, [], {"annotations": 3}, {"annotations": {REF_NAME: 3}},
        {"annotations": {REF_NAME: NAME}, "digest": "sha256:../../etc/passwd"},
    ]  # fmt: skip
    assert ImageIndex({"manifests": entries}).names() == {}


@pytest.mark.parametrize(
    ("name", "full"),
    [(NAME, True), ("reg.example:5000/a/b:v1", True), ("busybox", False), ("latest", False),
     ("docker.io/library/busybox", False), ("docker.io/busybox:1", False), ("", False),
     (NAME + "@" + Digest.of(b""), False), ("../x:1", False)],
)  # fmt: skip
def test_only_names_with_nothing_left_out_are_full(name: str, full: bool) -> None:
    assert is_full_name(name) is full
