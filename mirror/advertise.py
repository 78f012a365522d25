"""Tells the network what this node holds: every blob at its commit, every tag at its name."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from mirror.metrics import Metrics
from mirror.oci import media
from mirror.oci.digest import Digest
from mirror.store.port import (
    Change,
    Content,
    ContentAdded,
    ContentRemoved,
    NameRemoved,
    NameSet,
    Store,
)

log = logging.getLogger("spegla.advertise")


class Announcer(Protocol):
    """The network, as far as advertising needs it; `p2p.node.Node` is one."""

    async def provide(self, keys: Iterable[str]) -> None:
        """Makes this node a provider of `keys`, for as long as it lives."""
        ...

    async def withdraw(self, keys: Iterable[str]) -> None:
        """Takes `keys` back."""
        ...


class _Kind(Enum):
    TAG = "tag"
    MANIFEST = "manifest"
    BLOB = "blob"


@dataclass(frozen=True, slots=True)
class _Advert:
    kind: _Kind
    registries: frozenset[str]


class Advertiser:
    """Keeps what is advertised equal to what may be fetched from here.

    A blob is advertised once a mirrored registry is known to be its source; a tag once the
    manifest it points to is. `latest` only when it is answered too.
    """

    def __init__(
        self,
        store: Store,
        network: Announcer,
        covers: Callable[[str], bool],
        metrics: Metrics,
        *,
        latest: bool,
    ) -> None:
        self._store = store
        self._network = network
        self._covers = covers
        self._metrics = metrics
        self._latest = latest
        self._adverts: dict[str, _Advert] = {}
        self._names_of: defaultdict[Digest, set[str]] = defaultdict(set)
        self._digest_of: dict[str, Digest] = {}
        self._counts: Counter[tuple[_Kind, str]] = Counter()
        self._to_provide: set[str] = set()
        self._to_withdraw: set[str] = set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._adverts)

    async def run(self) -> None:
        """Follows the store until cancelled."""
        unsubscribe = self._store.subscribe(self._on_change)
        try:
            self._catch_up()
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._flush()
        finally:
            unsubscribe()

    async def _flush(self) -> None:
        """Brings the network up to date; what changes meanwhile waits for the next round."""
        withdraw, self._to_withdraw = self._to_withdraw, set()
        provide, self._to_provide = self._to_provide, set()
        try:
            if withdraw:
                await self._network.withdraw(withdraw)
            if provide:
                await self._network.provide(provide)
        except BaseException:
            self._to_withdraw |= withdraw - self._to_provide
            self._to_provide |= provide - self._to_withdraw
            self._changed.set()
            raise
        log.debug("advertised %d keys, withdrew %d", len(provide), len(withdraw))
        self._show_counts()

    def _catch_up(self) -> None:
        """Learns what the store holds by now, and what is gone since an earlier `run`."""
        for name in [name for name in self._digest_of if self._store.resolve(name) is None]:
            self._on_change(NameRemoved(name))
        blobs = [Digest(key) for key, a in self._adverts.items() if a.kind is not _Kind.TAG]
        for digest in blobs:
            if self._store.find(digest) is None:
                self._on_change(ContentRemoved(digest))
        for content in self._store.contents():
            self._on_change(ContentAdded(content))
        for name, digest in self._store.names():
            self._on_change(NameSet(name, digest))

    def _on_change(self, change: Change) -> None:
        match change:
            case ContentAdded(content):
                self._weigh_content(content)
            case ContentRemoved(digest):
                self._drop(digest)
                self._weigh_names(digest)
            case NameSet(name, digest):
                self._point(name, digest)
                self._weigh_name(name)
            case NameRemoved(name):
                self._point(name, None)
                self._drop(name)

    def _weigh_content(self, content: Content) -> None:
        covered = frozenset(filter(self._covers, content.registries))
        kind = _Kind.MANIFEST if content.media_type in media.MANIFEST_TYPES else _Kind.BLOB
        if covered:
            self._keep(content.digest, _Advert(kind, covered))
        else:
            self._drop(content.digest)
        self._weigh_names(content.digest)

    def _weigh_names(self, digest: Digest) -> None:
        for name in self._names_of.get(digest, ()):
            self._weigh_name(name)

    def _weigh_name(self, name: str) -> None:
        registry = name.partition("/")[0]
        digest = self._digest_of[name]
        allowed = self._latest or not name.endswith(":latest")
        if allowed and self._covers(registry) and digest in self._adverts:
            self._keep(name, _Advert(_Kind.TAG, frozenset({registry})))
        else:
            self._drop(name)

    def _point(self, name: str, digest: Digest | None) -> None:
        old = self._digest_of.pop(name, None)
        if old is not None:
            self._names_of[old].discard(name)
            if not self._names_of[old]:
                del self._names_of[old]
        if digest is not None:
            self._digest_of[name] = digest
            self._names_of[digest].add(name)

    def _keep(self, key: str, advert: _Advert) -> None:
        old = self._adverts.get(key)
        if old == advert:
            return
        self._count(old, -1)
        self._count(advert, 1)
        self._adverts[key] = advert
        self._changed.set()
        if old is None:
            self._to_withdraw.discard(key)
            self._to_provide.add(key)

    def _drop(self, key: str) -> None:
        old = self._adverts.pop(key, None)
        if old is not None:
            self._count(old, -1)
            self._to_provide.discard(key)
            self._to_withdraw.add(key)
            self._changed.set()

    def _count(self, advert: _Advert | None, step: int) -> None:
        if advert is not None:
            for registry in advert.registries:
                self._counts[advert.kind, registry] += step

    def _show_counts(self) -> None:
        metrics = self._metrics
        for registry in {registry for _, registry in self._counts}:
            tags, manifests, blobs = (self._counts[kind, registry] for kind in _Kind)
            metrics.advertised_tags.labels(registry).set(tags)
            metrics.advertised_images.labels(registry).set(tags)
            metrics.advertised_image_digests.labels(registry).set(manifests)
            metrics.advertised_content_digests.labels(registry).set(blobs)
            metrics.advertised_keys.labels(registry).set(tags + manifests + blobs)
