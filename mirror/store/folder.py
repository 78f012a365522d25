"""A content store's folder on this node's disk: `<root>/blobs/sha256/<hex>`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mirror.oci.digest import Digest
from mirror.oci.media import MAX_MANIFEST_BYTES
from mirror.store.file import FileBlob
from mirror.store.recognise import BLOB, may_be_manifest, media_type


class BlobFolder:
    """Reads committed content; never writes.

    Attributes:
        root: Holds `blobs/`, and with containerd `ingest/`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = f"{root}/blobs/sha256/"

    def __repr__(self) -> str:
        return f"<BlobFolder {self.root}>"

    def holds_some(self, digests: Sequence[Digest]) -> bool:
        """Whether this is the folder that holds `digests`, and may be read; blocks.

        With no digests it need not be there yet: containerd 2.1 makes it at its first commit.
        """
        if not digests:
            place = self.root if os.access(self.root, os.F_OK) else self.root.parent
            return os.access(place, os.R_OK | os.X_OK)
        return any(os.access(self.path(digest), os.R_OK) for digest in digests)

    def path(self, digest: Digest) -> Path:
        """Where `digest` is, if it is held."""
        return Path(self._blobs + digest.hex)

    def open(self, digest: Digest) -> FileBlob:
        """Opens content.

        Raises:
            FileNotFoundError: It is not held.
            OSError: It can't be opened.
        """
        return FileBlob(self._blobs + digest.hex)

    def look(self, digest: Digest) -> tuple[int, str] | None:
        """Size in bytes and media type, or None when it is not held or can't be read; blocks."""
        try:
            with open(self._blobs + digest.hex, "rb", buffering=0) as file:  # noqa: PTH123 - 10 µs
                size = os.fstat(file.fileno()).st_size
                if size > MAX_MANIFEST_BYTES:
                    return size, BLOB
                head = file.read(64)
                if not may_be_manifest(size, head):
                    return size, BLOB
                return size, media_type(head + file.read(size))
        except OSError:
            return None

    def look_at_all(self, digests: Iterable[Digest]) -> dict[Digest, tuple[int, str]]:
        """`look` for each that is held; blocks for some 30 µs each."""
        return {digest: seen for digest in digests if (seen := self.look(digest)) is not None}


def damage(file: Path, size: int, expected: int) -> str:
    """What there is to say of a file of `size` bytes that should have `expected`."""
    return (
        f"{file} is damaged ({size} bytes instead of {expected}) and not served: "
        "delete the images that use it and pull them again"
    )
