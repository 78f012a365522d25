"""Content digests: the only names that bytes have here."""

from __future__ import annotations

import hashlib
import re
from typing import Self

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


class InvalidDigest(ValueError):
    """The text is no digest that containerd's content store could hold."""


class Digest(str):
    """A `sha256:<64 lower-case hex>` digest.

    containerd's content store keeps `blobs/sha256` only, so other algorithms are refused.
    Being a `str`, it hashes and compares at C speed as a key of the content index.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a digest from outside.

        Raises:
            InvalidDigest: `text` is not `sha256:` followed by 64 lower-case hex digits.
        """
        if _SHA256.fullmatch(text) is None:
            raise InvalidDigest(
                f"invalid digest {text[:100]!r}: expected sha256: and 64 lower-case hex digits"
            )
        return cls(text)

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview) -> Self:
        """The digest of `data`."""
        return cls("sha256:" + hashlib.sha256(data).hexdigest())

    @property
    def hex(self) -> str:
        """The 64 hex digits, which are also the file's name in a content store."""
        return self[7:]
