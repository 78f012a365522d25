"""What a manifest or index refers to."""

from __future__ import annotations

import json
from typing import Any

from mirror.oci.descriptor import Descriptor, InvalidDescriptor
from mirror.oci.media import MANIFEST_TYPES


class InvalidManifest(ValueError):
    """The bytes are no manifest or index."""


def children(data: bytes) -> tuple[Descriptor, ...]:
    """What a manifest (config and layers) or an index (manifests) refers to, in its order.

    Raises:
        InvalidManifest: `data` is no JSON object or refers to something malformed.
    """
    document = _document(data)
    values: list[object] = []
    if "config" in document:
        values.append(document["config"])
    for member in ("layers", "manifests"):
        listed = document.get(member, [])
        if not isinstance(listed, list):
            raise InvalidManifest(f"invalid manifest: {member} is no list")
        values.extend(listed)
    try:
        return tuple(Descriptor.parse(value) for value in values)
    except InvalidDescriptor as error:
        raise InvalidManifest(f"invalid manifest: {error}") from error


def media_type_of(data: bytes) -> str | None:
    """The type that a manifest gives itself, or None when it is none of `MANIFEST_TYPES`."""
    try:
        stated = _document(data).get("mediaType")
    except InvalidManifest:
        return None
    return stated if isinstance(stated, str) and stated in MANIFEST_TYPES else None


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidManifest(f"invalid manifest: {error}") from error
    if not isinstance(document, dict):
        raise InvalidManifest(f"invalid manifest: {type(document).__name__}, not an object")
    return document
