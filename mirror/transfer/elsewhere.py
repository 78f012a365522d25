"""Where content comes from that this node lacks."""

from __future__ import annotations

from typing import Protocol

from mirror.oci.ranges import RangeRequest, Span
from mirror.transfer.found import Description, Found, MemoryBody, Source
from mirror.transfer.memory import Manifest
from mirror.transfer.remote import Remote
from mirror.transfer.wanted import Kind, Wanted


class Elsewhere(Protocol):
    """Where content comes from that this node lacks."""

    @property
    def tags_first(self) -> bool:
        """Whether tags are asked here before the store, which may hold what they meant once."""
        ...

    async def describe(self, wanted: Wanted) -> Description:
        """What it is.

        Raises:
            NotHere: It is nowhere.
        """
        ...

    async def open(self, wanted: Wanted, asked: RangeRequest | None) -> Found:
        """Its bytes; the caller releases them.

        Raises:
            NotHere: It is nowhere.
            RangeNotSatisfiable: The range lies outside of it.
        """
        ...


class Peers:
    """Elsewhere, when containerd keeps the content: only peers, nothing is stored here."""

    tags_first = False

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    async def describe(self, wanted: Wanted) -> Description:
        """See `Elsewhere`."""
        if wanted.kind is Kind.BLOB:
            return await self._remote.describe_blob(wanted)
        return describe_manifest(await self._remote.manifest(wanted))

    async def open(self, wanted: Wanted, asked: RangeRequest | None) -> Found:
        """See `Elsewhere`."""
        if wanted.kind is Kind.BLOB:
            return await self._remote.blob(wanted, asked)
        manifest = await self._remote.manifest(wanted)
        data = memoryview(manifest.data)
        span = Span(0, len(data)) if asked is None else asked.resolve(len(data))
        body = MemoryBody(data[span.start : span.stop])
        return Found(describe_manifest(manifest), span, body, _nothing)


def describe_manifest(manifest: Manifest) -> Description:
    """The description of a manifest that a peer sent."""
    return Description(manifest.digest, len(manifest.data), manifest.media_type, Source.PEER)


def _nothing() -> None:
    """Memory of manifests is the cache's to free."""
