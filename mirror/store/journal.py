"""Where the content of a layout came from: what the layout itself has no place for."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from mirror.oci.digest import Digest
from mirror.store.port import Content

log = logging.getLogger("spegla.store")


class Journal:
    """A file of JSON lines, one per change; the last line of a digest counts.

    A line is appended after its blob was verified and renamed, so that what has a line and the
    same size needs no second verification. A lost or torn line costs one: nothing else.
    All methods block, and raise OSError when the disk is full or broken.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[Digest, Content]:
        """All content noted and not forgotten; damaged lines are left out and logged."""
        contents: dict[Digest, Content] = {}
        damaged = 0
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return contents
        for line in lines:
            try:
                digest, content = _parse(line)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                damaged += 1
                continue
            if content is None:
                contents.pop(digest, None)
            else:
                contents[digest] = content
        if damaged:
            log.warning(
                "%d damaged lines in %s: their content will be verified anew", damaged, self._path
            )
        return contents

    def replace(self, contents: Iterable[Content]) -> None:
        """Writes the file anew, with one line for each of `contents`."""
        temporary = self._path.with_suffix(".new")
        temporary.write_bytes(b"".join(_line(content) for content in contents))
        temporary.replace(self._path)

    def note(self, contents: Iterable[Content]) -> None:
        """Appends what is now known of `contents`."""
        self._append(b"".join(_line(content) for content in contents))

    def forget(self, digest: Digest) -> None:
        """Appends that `digest` is gone."""
        self._append(json.dumps({"digest": digest, "gone": True}).encode() + b"\n")

    def _append(self, lines: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            os.write(descriptor, lines)
        finally:
            os.close(descriptor)


def _line(content: Content) -> bytes:
    value = {
        "digest": content.digest,
        "size": content.size,
        "mediaType": content.media_type,
        "registries": sorted(content.registries),
    }
    return json.dumps(value).encode() + b"\n"


def _parse(line: bytes) -> tuple[Digest, Content | None]:
    value = json.loads(line)
    digest = Digest.parse(value["digest"])
    if value.get("gone"):
        return digest, None
    size, media_type, registries = value["size"], value["mediaType"], value["registries"]
    if not isinstance(size, int) or not isinstance(media_type, str):
        raise TypeError("size or mediaType")
    if not isinstance(registries, list) or not all(isinstance(item, str) for item in registries):
        raise TypeError("registries")
    return digest, Content(digest, size, media_type, frozenset(registries))
