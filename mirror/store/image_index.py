"""The layout's `index.json`: names and what they point to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from mirror.oci.descriptor import Descriptor, InvalidDescriptor
from mirror.oci.media import OCI_INDEX
from mirror.oci.reference import InvalidReference, Reference

REF_NAME = "org.opencontainers.image.ref.name"


class InvalidIndex(ValueError):
    """The bytes are no image index."""


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """The document, kept whole: other tools write to it too.

    Attributes:
        document: The decoded JSON object; `manifests` is a list.
    """

    document: dict[str, Any]

    @classmethod
    def empty(cls) -> Self:
        """An index without images."""
        return cls({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Reads `index.json`.

        Raises:
            InvalidIndex: It is no JSON object with a list of manifests.
        """
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InvalidIndex(f"invalid index.json: {error}") from error
        if not isinstance(document, dict) or not isinstance(document.get("manifests"), list):
            raise InvalidIndex("invalid index.json: no list of manifests")
        return cls(document)

    def names(self) -> dict[str, Descriptor]:
        """What every full name (`registry/repository:tag`) points to; the last entry counts.

        Entries of other tools whose name lacks the registry are passed over: `busybox` in a
        layout may be anybody's.
        """
        found = {}
        for entry in self.document["manifests"]:
            name = _name(entry)
            if name is None or not is_full_name(name):
                continue
            try:
                found[name] = Descriptor.parse(entry)
            except InvalidDescriptor:
                continue
        return found

    def with_name(self, name: str, descriptor: Descriptor) -> ImageIndex:
        """This index with `name` pointing to `descriptor`, and all else as it was."""
        manifests = [entry for entry in self.document["manifests"] if _name(entry) != name]
        manifests.append({**descriptor.document(), "annotations": {REF_NAME: name}})
        return ImageIndex({**self.document, "manifests": manifests})

    def encode(self) -> bytes:
        """The file's bytes."""
        return json.dumps(self.document, indent=1).encode()


def is_full_name(name: str) -> bool:
    """Whether `name` is `registry/repository:tag` with nothing left to defaults."""
    try:
        return Reference.parse(name).tag_key == name
    except InvalidReference:
        return False


def _name(entry: object) -> str | None:
    annotations = entry.get("annotations") if isinstance(entry, dict) else None
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None
