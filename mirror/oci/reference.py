"""Image references, normalised the way containerd and Docker do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from mirror.oci.digest import Digest, InvalidDigest

DEFAULT_REGISTRY = "docker.io"

_MAX_LENGTH = 4096
_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_MAX_REPOSITORY = 255
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_REGISTRY = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
)


class InvalidReference(ValueError):
    """The text names no image."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`registry/repository:tag@digest`; a tag, a digest or both are there.

    Attributes:
        registry: Host with its port as the user wrote it, `docker.io` when left out.
        repository: Path below the registry, `library/` put before Docker's short names.
        tag: The tag, or None when only a digest was given.
        digest: The digest, or None when only a tag was given.
    """

    registry: str
    repository: str
    tag: str | None
    digest: Digest | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a reference such as `busybox`, `ghcr.io/a/b:1` or `reg:5000/x@sha256:…`.

        Raises:
            InvalidReference: The text names no image; the message says which part is wrong.
        """
        if len(text) > _MAX_LENGTH:
            raise InvalidReference(f"invalid reference: longer than {_MAX_LENGTH} characters")
        rest, _, digest_text = text.partition("@")
        digest = None
        if digest_text or text.endswith("@"):
            try:
                digest = Digest.parse(digest_text)
            except InvalidDigest as error:
                raise InvalidReference(f"invalid reference {text!r}: {error}") from error
        rest, tag = _split_tag(rest)
        registry, repository = _split_registry(rest)
        if tag is None and digest is None:
            tag = "latest"
        if not is_registry(registry):
            raise InvalidReference(f"invalid reference {text!r}: registry {registry!r}")
        if not is_repository(repository):
            raise InvalidReference(f"invalid reference {text!r}: repository {repository!r}")
        if tag is not None and not is_tag(tag):
            raise InvalidReference(f"invalid reference {text!r}: tag {tag!r}")
        return cls(registry, repository, tag, digest)

    @property
    def name(self) -> str:
        """`registry/repository`."""
        return f"{self.registry}/{self.repository}"

    @property
    def tag_key(self) -> str | None:
        """`registry/repository:tag`, the key under which a tag is advertised; None without tag."""
        return None if self.tag is None else f"{self.name}:{self.tag}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.name}{tag}{digest}"


def is_registry(text: str) -> bool:
    """Whether `text` is a host, with or without a port."""
    return len(text) <= 255 and _REGISTRY.fullmatch(text) is not None


def hostname(registry: str) -> str:
    """A registry's host without port and brackets, as containerd's labels have it.

    They are `containerd.io/distribution.source.<host>`; a host from there comes out as it is.
    """
    if registry.startswith("["):
        return registry[1:].partition("]")[0]
    host, _, port = registry.partition(":")
    return registry if ":" in port else host  # an IPv6 address out of its brackets


def is_repository(text: str) -> bool:
    """Whether `text` is a repository path as the distribution specification allows."""
    return len(text) <= _MAX_REPOSITORY and _REPOSITORY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether `text` is a tag as the distribution specification allows."""
    return _TAG.fullmatch(text) is not None


def _split_tag(text: str) -> tuple[str, str | None]:
    name, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        return text, None
    return name, tag


def _split_registry(text: str) -> tuple[str, str]:
    head, slash, rest = text.partition("/")
    # Docker's rule: the first part is a host only if it could not be a repository's.
    if slash and ("." in head or ":" in head or head == "localhost" or head != head.lower()):
        registry, repository = head, rest
    else:
        registry, repository = DEFAULT_REGISTRY, text
    if registry in ("index.docker.io", "registry-1.docker.io"):
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = "library/" + repository
    return registry, repository
