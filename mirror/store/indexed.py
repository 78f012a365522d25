"""The questions of `Store` that the index in memory answers, the same in every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mirror.oci.digest import Digest
from mirror.store.index import ContentIndex, Listener
from mirror.store.port import Content


class IndexedStore:
    """A store whose content and names are in a `ContentIndex`, which it keeps true."""

    def __init__(self) -> None:
        self._index = ContentIndex()

    def find(self, digest: Digest) -> Content | None:
        """As `Store.find`."""
        return self._index.find(digest)

    def resolve(self, name: str) -> Digest | None:
        """As `Store.resolve`."""
        return self._index.resolve(name)

    def contents(self) -> Iterator[Content]:
        """As `Store.contents`."""
        return self._index.contents()

    def names(self) -> Iterator[tuple[str, Digest]]:
        """As `Store.names`."""
        return self._index.names()

    def distrust(self, digest: Digest) -> None:
        """As `Store.distrust`."""
        self._index.distrust(digest)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """As `Store.subscribe`."""
        return self._index.subscribe(listener)
