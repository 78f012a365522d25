from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.oci.media import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MAX_MANIFEST_BYTES,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
)
from mirror.store.recognise import media_type

MANIFEST = {"schemaVersion": 2, "config": {}, "layers": []}
INDEX = {"schemaVersion": 2, "manifests": []}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (MANIFEST, OCI_MANIFEST),
        (MANIFEST | {"mediaType": OCI_MANIFEST}, OCI_MANIFEST),
        (MANIFEST | {"mediaType": DOCKER_MANIFEST}, DOCKER_MANIFEST),
        (INDEX, OCI_INDEX),
        (INDEX | {"mediaType": DOCKER_LIST}, DOCKER_LIST),
        ({"architecture": "amd64", "config": {}}, ""),
        (MANIFEST | {"mediaType": OCI_CONFIG}, ""),
        (MANIFEST | {"mediaType": 7}, ""),
        (MANIFEST | {"mediaType": OCI_INDEX}, ""),
        (INDEX | {"mediaType": OCI_MANIFEST}, ""),
        (INDEX | {"schemaVersion": 1}, ""),
        ({"schemaVersion": 2}, ""),
        (MANIFEST | {"layers": {}}, ""),
        ([MANIFEST], ""),
    ],
)
def test_manifests_are_told_from_blobs(document: object, expected: str) -> None:
    assert media_type(json.dumps(document).encode()) == expected
    assert media_type(json.dumps(document, indent=3).encode()) == expected


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"{}", b"\x1f\x8b\x08", b"null", b"\xff{", b'{"a":' * 100_000, b"{\x00}"],
)
def test_nonsense_is_a_blob(data: bytes) -> None:
    assert media_type(data) == ""


def test_larger_than_any_manifest_is_a_blob() -> None:
    data = json.dumps(MANIFEST).encode()
    assert media_type(data.ljust(MAX_MANIFEST_BYTES)) == OCI_MANIFEST
    assert media_type(data.ljust(MAX_MANIFEST_BYTES + 1)) == ""


@given(st.binary(max_size=200))
def test_nothing_raises(data: bytes) -> None:
    assert media_type(b"{" + data) == ""
