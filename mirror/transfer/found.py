"""What the transfer answers with: a description, and bytes in one of three forms."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from mirror.oci.digest import Digest
from mirror.oci.ranges import Span
from mirror.store.port import Blob


class Source(Enum):
    """Where bytes came from."""

    STORE = "store"
    PEER = "peer"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True)
class Description:
    """What a HEAD tells.

    Attributes:
        digest: Name of the content.
        size: Bytes of all of it.
        media_type: Of a manifest; empty for blobs.
        source: Who told.
    """

    digest: Digest
    size: int
    media_type: str
    source: Source


@dataclass(frozen=True, slots=True)
class FileBody:
    """Bytes in a file that the kernel can send by itself."""

    blob: Blob


@dataclass(frozen=True, slots=True)
class MemoryBody:
    """Checked bytes in memory: just the span that was asked for."""

    data: memoryview


class StreamBody(Protocol):
    """Bytes that are still coming: just the span that was asked for."""

    def chunks(self) -> AsyncGenerator[memoryview]:
        """All bytes in order; a chunk is valid until the next one is asked for.

        Raises:
            BrokenOff: They end early.
        """
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """Content that is ready to be sent.

    Attributes:
        description: What it is.
        span: The bytes in `body`.
        body: Where they are.
        release: Frees what holds them; to be called once, whatever happened.
    """

    description: Description
    span: Span
    body: FileBody | MemoryBody | StreamBody
    release: Callable[[], None] = field(repr=False)
