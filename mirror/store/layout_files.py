"""The files of a layout store; every function here blocks and runs in a thread."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mirror.errors import SetupError
from mirror.oci.descriptor import Descriptor
from mirror.oci.digest import Digest, InvalidDigest
from mirror.oci.media import MAX_MANIFEST_BYTES
from mirror.store.image_index import ImageIndex, InvalidIndex
from mirror.store.recognise import BLOB, media_type

log = logging.getLogger("spegla.store")

_MAX_INDEX_BYTES = 64 * 1024 * 1024
"""More than 200,000 names; a larger index.json is refused rather than read into memory."""

_SLICE = 1024 * 1024


class LayoutFiles:
    """An OCI image layout on disk, with `ingest/` beside its blobs.

    Attributes:
        blobs: Folder of the committed blobs.
        index: The file of names, `index.json`.
        journal: The file for `Journal`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs" / "sha256"
        self.index = root / "index.json"
        self.journal = root / "content.jsonl"
        self._ingest = root / "ingest"

    def prepare(self) -> int:
        """Creates what is missing and throws away what a crash left half-written.

        Returns:
            A descriptor that keeps other nodes out of this folder until it is closed.

        Raises:
            SetupError: Another node runs on this folder.
            OSError: The folder can't be used.
        """
        for folder in (self.blobs, self._ingest):
            folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take(lock)
            for left in self._ingest.iterdir():
                left.unlink()
            marker = self.root / "oci-layout"
            if not marker.exists():
                _replace(marker, json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        except BaseException:
            os.close(lock)
            raise
        return lock

    def blob(self, digest: Digest) -> Path:
        """Where a committed blob lies."""
        return self.blobs / digest.hex

    def sizes(self) -> dict[Digest, int]:
        """The blobs that are there, verified or not."""
        found = {}
        with os.scandir(self.blobs) as entries:
            for entry in entries:
                digest = digest_of(entry.name)
                if digest is not None and entry.is_file(follow_symlinks=False):
                    found[digest] = entry.stat(follow_symlinks=False).st_size
        return found

    def size(self, digest: Digest) -> int | None:
        """The size of a blob, or None when it is not there."""
        try:
            status = self.blob(digest).lstat()
        except FileNotFoundError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def read(self, digest: Digest) -> bytes:
        """A manifest's bytes; never more than a manifest may have."""
        with self.blob(digest).open("rb") as file:
            return file.read(MAX_MANIFEST_BYTES)

    def recognise(self, digest: Digest, size: int) -> str:
        """The media type of a manifest, or `BLOB`."""
        return media_type(self.read(digest)) if size <= MAX_MANIFEST_BYTES else BLOB

    def hashing(self, digest: Digest) -> Iterator[Digest | None]:
        """Hashes a blob in slices: None after each one, then what it hashes to.

        Raises:
            OSError: It can't be read.
        """
        hashed = hashlib.sha256()
        descriptor = os.open(self.blob(digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while data := file.read(_SLICE):
                hashed.update(data)
                yield None
        yield Digest("sha256:" + hashed.hexdigest())

    def create(self, digest: Digest, total: int | None, reserved: int) -> tuple[Path, int]:
        """Creates the file of an ingest.

        Args:
            digest: Of what will be in it.
            total: Bytes that will be in it, or None when unknown.
            reserved: Bytes of the free space that other ingests will take.

        Returns:
            Its path and its descriptor.

        Raises:
            OSError: ENOSPC when it will not fit: better now than in the middle of a pull.
        """
        space = os.statvfs(self._ingest)
        if total is not None and total + reserved > space.f_bavail * space.f_frsize:
            raise OSError(errno.ENOSPC, f"no space for {total} bytes", str(self._ingest))
        path = self._ingest / f"{digest.hex}.{os.urandom(4).hex()}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return path, os.open(path, flags, 0o600)

    def keep(self, path: Path, descriptor: int, digest: Digest) -> None:
        """Turns a complete, verified ingest into a blob that a crash can't undo."""
        os.fchmod(descriptor, 0o444)
        os.fsync(descriptor)
        path.rename(self.blob(digest))
        _sync_folder(self.blobs)

    def read_index(self) -> ImageIndex:
        """The names; a damaged file is put aside, so that it costs no start."""
        try:
            with self.index.open("rb") as file:
                data = file.read(_MAX_INDEX_BYTES + 1)
            if len(data) > _MAX_INDEX_BYTES:
                raise InvalidIndex(f"index.json is larger than {_MAX_INDEX_BYTES} bytes")
            return ImageIndex.parse(data)
        except FileNotFoundError:
            return ImageIndex.empty()

    def repair_index(self) -> None:
        """Puts a damaged `index.json` aside; its content stays, its names must be learnt again."""
        try:
            self.read_index()
        except InvalidIndex as error:
            aside = self.index.with_suffix(".damaged")
            log.warning("%s: put aside as %s; its images have lost their names", error, aside)
            self.index.replace(aside)
        if not self.index.exists():
            _replace(self.index, ImageIndex.empty().encode())

    def set_name(self, name: str, descriptor: Descriptor) -> None:
        """Points `name` to content; other tools' entries stay as they are."""
        _replace(self.index, self.read_index().with_name(name, descriptor).encode())

    def _take(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SetupError(
                f"another spegla runs on {self.root}: stop it, or give this one its own --data-dir"
            ) from error


def digest_of(file_name: str) -> Digest | None:
    """The digest that a file of the blobs' folder claims to have, or None for other files."""
    try:
        return Digest.parse("sha256:" + file_name)
    except InvalidDigest:
        return None


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(path.suffix + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
