"""A descriptor: what one piece of content says about another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from mirror.oci.digest import Digest


class InvalidDescriptor(ValueError):
    """The JSON value describes no content."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Digest, size and type of a piece of content.

    Attributes:
        digest: Its name.
        size: Bytes.
        media_type: As written by whoever refers to it.
    """

    digest: Digest
    size: int
    media_type: str

    @classmethod
    def parse(cls, value: object) -> Self:
        """Reads a descriptor out of a decoded JSON document.

        Raises:
            InvalidDescriptor: A member is missing or of the wrong kind.
        """
        if not isinstance(value, Mapping):
            raise InvalidDescriptor(f"invalid descriptor: {type(value).__name__}, not an object")
        digest, size, media_type = value.get("digest"), value.get("size"), value.get("mediaType")
        if not isinstance(digest, str) or not isinstance(media_type, str):
            raise InvalidDescriptor("invalid descriptor: digest and mediaType must be strings")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise InvalidDescriptor(f"invalid descriptor of {digest[:80]!r}: bad size")
        try:
            return cls(Digest.parse(digest), size, media_type)
        except ValueError as error:
            raise InvalidDescriptor(f"invalid descriptor: {error}") from error

    def document(self) -> dict[str, Any]:
        """The JSON object of the image specification."""
        return {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
