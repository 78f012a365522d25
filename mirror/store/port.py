"""What the rest of the node needs of a content store, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from mirror.oci.digest import Digest


@dataclass(frozen=True, slots=True)
class Content:
    """A committed piece of content.

    Attributes:
        digest: Its name.
        size: Bytes.
        media_type: One of `mirror.oci.media.MANIFEST_TYPES` for manifests and indexes; empty for
            everything that is served as a blob.
        registries: Hosts without port that it was pulled from (label
            `containerd.io/distribution.source.<host>`); it may leave this node only if one of
            them is mirrored here.
    """

    digest: Digest
    size: int
    media_type: str
    registries: frozenset[str]


@dataclass(frozen=True, slots=True)
class ContentAdded:
    """Content was committed, or its registries became known or changed."""

    content: Content


@dataclass(frozen=True, slots=True)
class ContentRemoved:
    """Content is gone; it can no longer be opened."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class NameSet:
    """An image name (`registry/repository:tag`) points to a manifest or index now."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class NameRemoved:
    """An image name is gone; the content it pointed to may stay."""

    name: str


Change = ContentAdded | ContentRemoved | NameSet | NameRemoved


class Blob(Protocol):
    """Content opened for reading; stays readable when it is deleted meanwhile."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def fileno(self) -> int | None:
        """A descriptor for `sendfile` and `pread`, or None when only `read` works."""
        ...

    async def read(self, offset: int, length: int) -> bytes:
        """Reads up to `length` bytes at `offset`; fewer only at the end.

        Raises:
            OSError: The store failed; the content may be elsewhere.
        """
        ...

    def close(self) -> None:
        """Frees the descriptor. May be called more than once."""
        ...


class Store(Protocol):
    """Content by digest and the names that point to it, answered from memory."""

    @property
    def ready(self) -> bool:
        """Whether the index reflects the store (False while starting or containerd is away)."""
        ...

    def find(self, digest: Digest) -> Content | None:
        """What is known of `digest`, or None when it is not held."""
        ...

    def resolve(self, name: str) -> Digest | None:
        """The digest that `registry/repository:tag` points to, or None."""
        ...

    def contents(self) -> Iterator[Content]:
        """All content held."""
        ...

    def names(self) -> Iterator[tuple[str, Digest]]:
        """All image names with a tag, and what they point to."""
        ...

    def open(self, digest: Digest) -> Blob:
        """Opens content for reading.

        Raises:
            NotHere: It is not held, or was deleted a moment ago.
        """
        ...

    def distrust(self, digest: Digest) -> None:
        """Stops listing content whose bytes are wrong; once deleted it may come again."""
        ...

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Calls `listener` in the event loop on every later change; returns the way to stop it."""
        ...

    async def run(self) -> None:
        """Fills the index and keeps it true until cancelled; survives the store's absence."""
        ...
