from __future__ import annotations

import json

import pytest

from mirror.oci.descriptor import Descriptor, InvalidDescriptor
from mirror.oci.digest import Digest
from mirror.oci.manifest import InvalidManifest, children, media_type_of
from mirror.oci.media import OCI_INDEX
from tests.mirror.sample import make_sample

GOOD = {"digest": Digest.of(b"x"), "size": 1, "mediaType": "text/plain"}


def test_children_of_a_manifest_are_config_and_layers() -> None:
    sample = make_sample(10)
    assert [child.digest for child in children(sample.manifest)] == [
        Digest.of(blob) for blob in sample.blobs
    ]


def test_children_of_an_index_are_manifests() -> None:
    [child] = children(json.dumps({"manifests": [GOOD]}).encode())
    assert child == Descriptor(Digest.of(b"x"), 1, "text/plain")
    assert child.document() == GOOD


@pytest.mark.parametrize(
    "data",
    [b"", b"nonsense", b"[]", b"3", b'{"layers": {}}', b'{"layers": [3]}', b"[" * 100_000,
     b"\xff\xfe", b'{"config": null}', b'{"manifests": [{"digest": "sha256:../../x"}]}'],
)  # fmt: skip
def test_nonsense_is_no_manifest(data: bytes) -> None:
    with pytest.raises(InvalidManifest):
        children(data)


@pytest.mark.parametrize(
    "change",
    [{"digest": 3}, {"size": -1}, {"size": True}, {"size": "1"}, {"mediaType": None},
     {"digest": "sha256:" + "A" * 64}],
)  # fmt: skip
def test_wrong_members_make_no_descriptor(change: dict[str, object]) -> None:
    with pytest.raises(InvalidDescriptor):
        Descriptor.parse({**GOOD, **change})


def test_only_known_types_are_believed() -> None:
    assert media_type_of(json.dumps({"mediaType": OCI_INDEX}).encode()) == OCI_INDEX
    assert media_type_of(b'{"mediaType": "text/html"}') is None
    assert media_type_of(b'{"mediaType": []}') is None
    assert media_type_of(b"<html>") is None
