"""What the store holds, in memory: every question of a request is answered from here."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping

from mirror.oci.digest import Digest
from mirror.store.port import (
    Change,
    Content,
    ContentAdded,
    ContentRemoved,
    NameRemoved,
    NameSet,
)

Listener = Callable[[Change], None]


class ContentIndex:
    """Content by digest and digests by name; tells listeners of every difference.

    Nothing here waits or reads: the stores feed it with what they learn. Listeners are called
    after the index has changed, so they may ask it; one that raises is a bug and ends the store.
    """

    def __init__(self) -> None:
        self._contents: dict[Digest, Content] = {}
        self._names: dict[str, Digest] = {}
        self._listeners: list[Listener] = []
        self._syncs: list[Sync] = []
        self._distrusted: set[Digest] = set()

    def __repr__(self) -> str:
        return f"<ContentIndex {len(self._contents)} contents, {len(self._names)} names>"

    def __len__(self) -> int:
        return len(self._contents)

    def find(self, digest: Digest) -> Content | None:
        """What is known of `digest`, or None when it is not held."""
        return self._contents.get(digest)

    def resolve(self, name: str) -> Digest | None:
        """The digest that `registry/repository:tag` points to, or None."""
        return self._names.get(name)

    def contents(self) -> Iterator[Content]:
        """All content held now; changes made while iterating do not show."""
        return iter(tuple(self._contents.values()))

    def names(self) -> Iterator[tuple[str, Digest]]:
        """All names held now; changes made while iterating do not show."""
        return iter(tuple(self._names.items()))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Calls `listener` on every later change; returns the way to stop it."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def put(self, content: Content) -> None:
        """Adds content, or replaces what was known of it."""
        for sync in self._syncs:
            sync.touched.add(content.digest)
        if content.digest in self._distrusted or self._contents.get(content.digest) == content:
            return
        self._contents[content.digest] = content
        self._tell(ContentAdded(content))

    def remove(self, digest: Digest) -> None:
        """Forgets content; nothing happens when it is unknown."""
        for sync in self._syncs:
            sync.touched.add(digest)
        self._distrusted.discard(digest)
        if self._contents.pop(digest, None) is not None:
            self._tell(ContentRemoved(digest))

    def distrust(self, digest: Digest) -> None:
        """Forgets content whose bytes are wrong, until it was deleted and added anew."""
        self.remove(digest)
        self._distrusted.add(digest)

    def trust(self, digests: Container[Digest]) -> None:
        """Forgets its distrust of what is not in `digests`, all that the store has."""
        self._distrusted = {digest for digest in self._distrusted if digest in digests}

    def set_name(self, name: str, digest: Digest) -> None:
        """Points a name to a digest, whether that content is held or not."""
        for sync in self._syncs:
            sync.touched.add(name)
        if self._names.get(name) == digest:
            return
        self._names[name] = digest
        self._tell(NameSet(name, digest))

    def remove_name(self, name: str) -> None:
        """Forgets a name; nothing happens when it is unknown."""
        for sync in self._syncs:
            sync.touched.add(name)
        if self._names.pop(name, None) is not None:
            self._tell(NameRemoved(name))

    def sync(self) -> Sync:
        """Starts a comparison with the whole store; see `Sync`."""
        return Sync(self, self._syncs)

    def _tell(self, change: Change) -> None:
        for listener in tuple(self._listeners):
            listener(change)


class Sync:
    """A listing of the store that takes time, while single changes go on arriving.

    What changed between entering the block and `finish` is newer than the listing and wins.
    """

    def __init__(self, index: ContentIndex, syncs: list[Sync]) -> None:
        self.touched: set[str] = set()
        self._index = index
        self._syncs = syncs

    def __enter__(self) -> Sync:
        self._syncs.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._syncs.remove(self)

    def finish(self, contents: Iterable[Content], names: Mapping[str, Digest]) -> None:
        """Makes the index equal to the listing, but for what was touched meanwhile."""
        touched = frozenset(self.touched)
        listed = {content.digest: content for content in contents}
        for content in self._index.contents():
            if content.digest not in listed and content.digest not in touched:
                self._index.remove(content.digest)
        self._index.trust(listed)
        for digest, content in listed.items():
            if digest not in touched:
                self._index.put(content)
        for name, _ in self._index.names():
            if name not in names and name not in touched:
                self._index.remove_name(name)
        for name, digest in names.items():
            if name not in touched:
                self._index.set_name(name, digest)
