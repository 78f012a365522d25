"""From what is wanted to who has it: this node, a peer, or (embedded store only) the upstream."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mirror.errors import NotHere
from mirror.oci import media
from mirror.oci.ranges import RangeRequest, Span
from mirror.store.port import Content, Store
from mirror.transfer.elsewhere import Elsewhere
from mirror.transfer.found import Description, FileBody, Found, Source
from mirror.transfer.wanted import Kind, Wanted

log = logging.getLogger("spegla.transfer")


class Transfer:
    """Answers what is wanted from the first source that has it."""

    def __init__(
        self, store: Store, elsewhere: Elsewhere, may_leave: Callable[[Content], bool]
    ) -> None:
        """Serves from `store`, then from `elsewhere`.

        Args:
            store: What this node holds.
            elsewhere: What it can get.
            may_leave: Whether content of the store may be given to anyone: one of its registries
                is mirrored here.
        """
        self._store = store
        self._elsewhere = elsewhere
        self._may_leave = may_leave

    def held(self, wanted: Wanted) -> Description:
        """What this node itself holds; costs no I/O.

        Raises:
            NotHere: It is not held, not to be shared, or is a manifest asked for as a blob.
        """
        digest = wanted.digest or self._store.resolve(wanted.name)
        content = self._store.find(digest) if digest is not None else None
        if content is None or not self._may_leave(content):
            raise NotHere(f"{wanted.key} is not held here")
        if (content.media_type in media.MANIFEST_TYPES) != (wanted.kind is Kind.MANIFEST):
            raise NotHere(f"{wanted.key} is not one of the {wanted.kind.value}")
        return Description(content.digest, content.size, content.media_type, Source.STORE)

    def open_held(self, wanted: Wanted, asked: RangeRequest | None) -> Found:
        """Opens what this node itself holds.

        Raises:
            NotHere: As in `held`, or it was deleted a moment ago, or cannot be opened.
            RangeNotSatisfiable: The range lies outside of it.
        """
        description = self.held(wanted)
        span = Span(0, description.size) if asked is None else asked.resolve(description.size)
        try:
            blob = self._store.open(description.digest)
        except OSError as error:
            # Out of descriptors, a broken disk: peers may still have it.
            log.warning("%s cannot be opened: %s", description.digest, error)
            raise NotHere(f"{wanted.key} cannot be opened") from error
        return Found(description, span, FileBody(blob), blob.close)

    async def describe(self, wanted: Wanted) -> Description:
        """What it is, held here or elsewhere.

        Raises:
            NotHere: It is nowhere.
        """
        if not self._elsewhere_first(wanted):
            try:
                return self.held(wanted)
            except NotHere:
                pass
        return await self._elsewhere.describe(wanted)

    async def open(self, wanted: Wanted, asked: RangeRequest | None) -> Found:
        """Its bytes, from here or elsewhere; the caller releases them.

        Raises:
            NotHere: It is nowhere.
            RangeNotSatisfiable: The range lies outside of it.
        """
        if not self._elsewhere_first(wanted):
            try:
                return self.open_held(wanted, asked)
            except NotHere:
                pass
        return await self._elsewhere.open(wanted, asked)

    def _elsewhere_first(self, wanted: Wanted) -> bool:
        return wanted.tag is not None and self._elsewhere.tags_first
