"""Content that only containerd itself can read: another mount namespace, or no permission."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mirror.oci.digest import Digest
from mirror.oci.media import MAX_MANIFEST_BYTES
from mirror.store.recognise import BLOB, may_be_manifest, media_type

Reader = Callable[[Digest, int, int], Awaitable[bytes]]
"""Reads (digest, offset, length), all of it inside the content; raises OSError."""


class RemoteBlob:
    """Content read through containerd's API; it can't be read any more once it is deleted."""

    def __init__(self, digest: Digest, size: int, reader: Reader) -> None:
        self._digest = digest
        self._size = size
        self._reader: Reader | None = reader

    def __repr__(self) -> str:
        return f"<RemoteBlob {self._digest} {self._size} B>"

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def fileno(self) -> int | None:
        """None: only `read` works."""
        return None

    async def read(self, offset: int, length: int) -> bytes:
        """As `Blob.read`."""
        if self._reader is None:
            raise OSError("the blob is closed")
        length = min(length, self._size - offset)
        if length <= 0:
            return b""
        return await self._reader(self._digest, offset, length)

    def close(self) -> None:
        """As `Blob.close`."""
        self._reader = None


async def remote_media_type(digest: Digest, size: int, reader: Reader) -> str:
    """The media type of content that containerd reads for us.

    Raises:
        OSError: It can't be read.
    """
    if not 0 < size <= MAX_MANIFEST_BYTES:
        return BLOB
    head = await reader(digest, 0, min(size, 4096))
    if not may_be_manifest(size, head):
        return BLOB
    if len(head) < size:
        head += await reader(digest, len(head), size - len(head))
    return media_type(head)
