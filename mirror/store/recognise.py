"""Tells manifests and indexes from all other content, which containerd keeps without a type."""

from __future__ import annotations

import json
from typing import Final

from mirror.oci.media import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MANIFEST_TYPES,
    MAX_MANIFEST_BYTES,
    OCI_INDEX,
    OCI_MANIFEST,
)

BLOB: Final = ""
"""The media type of everything that is served as a blob."""

_BLANK = b" \t\r\n"


def may_be_manifest(size: int, head: bytes) -> bool:
    """Whether content of `size` bytes that starts with `head` is worth reading as a whole."""
    return 0 < size <= MAX_MANIFEST_BYTES and head.lstrip(_BLANK)[:1] == b"{"


def media_type(data: bytes) -> str:
    """The media type of a manifest or index, or `BLOB`.

    Takes its own `mediaType` first. OCI allows that to be absent: then an index has `manifests`
    and a manifest has `config` and `layers`; Docker's always say what they are. Anything that is
    not understood is a blob, never an error: content comes from outside. Costs up to 0.1 s for
    the largest manifests, so large ones belong in a thread.
    """
    if not may_be_manifest(len(data), data[:64]):
        return BLOB
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return BLOB
    if not isinstance(document, dict) or document.get("schemaVersion") != 2:
        return BLOB
    named = document.get("mediaType")
    if named is not None:
        return named if isinstance(named, str) and _shaped_as(named, document) else BLOB
    if _shaped_as(OCI_INDEX, document):
        return OCI_INDEX
    return OCI_MANIFEST if _shaped_as(OCI_MANIFEST, document) else BLOB


def _shaped_as(named: str, document: dict[str, object]) -> bool:
    if named not in MANIFEST_TYPES:
        return False
    if named in (OCI_INDEX, DOCKER_LIST):
        return isinstance(document.get("manifests"), list)
    if named in (OCI_MANIFEST, DOCKER_MANIFEST):
        return isinstance(document.get("config"), dict) and isinstance(document.get("layers"), list)
    return False
