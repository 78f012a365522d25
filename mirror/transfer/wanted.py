"""What is asked for, in the words of the registry API."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mirror.oci.digest import Digest


class Kind(Enum):
    """The two collections of the registry API."""

    BLOB = "blobs"
    MANIFEST = "manifests"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One blob, or one manifest by digest or tag.

    Attributes:
        kind: Which collection.
        registry: The registry it is pulled from (`ns`), e.g. `docker.io`; empty when the asker
            named none and only the digest counts.
        repository: Path below the registry.
        digest: What it must hash to; None when asked by tag.
        tag: The tag when asked by tag; otherwise None.
    """

    kind: Kind
    registry: str
    repository: str
    digest: Digest | None
    tag: str | None

    @property
    def key(self) -> str:
        """The DHT key: the digest, or `registry/repository:tag` (Spegel's wire)."""
        return self.digest if self.digest is not None else self.name

    @property
    def exact(self) -> Digest:
        """The digest of something that is never asked for by tag, as blobs are.

        Raises:
            ValueError: It was asked for by tag.
        """
        if self.digest is None:
            raise ValueError(f"{self.name} is asked for by tag: it has no digest yet")
        return self.digest

    @property
    def name(self) -> str:
        """`registry/repository:tag`."""
        return f"{self.registry}/{self.repository}:{self.tag}"

    @property
    def target(self) -> str:
        """The request target at a peer; `ns` always, because Spegel answers 404 without it."""
        reference = self.digest if self.digest is not None else self.tag
        return f"/v2/{self.repository}/{self.kind.value}/{reference}?ns={self.registry}"
