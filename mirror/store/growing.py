"""Content that is still arriving, as its readers see it."""

from __future__ import annotations

from typing import Protocol

from mirror.oci.digest import Digest
from mirror.store.port import Blob


class Abandoned(Exception):
    """The content will not be completed here; its readers go on elsewhere."""


class Growing(Protocol):
    """A blob whose bytes land one after the other; any number of readers may follow it.

    A reader opens it once, and then sends what lies between its own offset and what `grown`
    gives, until `grown` gives that same offset again: then all has arrived and was verified.
    """

    @property
    def digest(self) -> Digest:
        """The name it will have."""
        ...

    @property
    def total(self) -> int | None:
        """Bytes it will have, or None when the sender did not say."""
        ...

    @property
    def size(self) -> int:
        """Bytes that can be read by now; nobody has verified them before the end."""
        ...

    def open(self) -> Blob:
        """Opens it for reading; the descriptor stays good when the blob is completed.

        Raises:
            Abandoned: It was given up.
        """
        ...

    async def grown(self, offset: int) -> int:
        """Waits until there is more than `offset` bytes, or all; the caller bounds the wait.

        Returns:
            The bytes that can be read; not more than `offset` only when that is all of it.

        Raises:
            Abandoned: It was given up.
        """
        ...
