"""Reading the path of a pull request. Pure."""

from __future__ import annotations

from functools import lru_cache

from mirror.oci.digest import Digest, InvalidDigest
from mirror.oci.errors import DigestInvalid, NameInvalid, NameUnknown
from mirror.oci.reference import is_registry, is_repository, is_tag
from mirror.transfer.wanted import Kind, Wanted

PREFIX = "/v2/"

_KINDS = {kind.value: kind for kind in Kind}


@lru_cache(maxsize=4096)
def parse_target(path: str, registry: str) -> Wanted:
    """Reads `/v2/<repository>/(manifests|blobs)/<reference>`.

    Args:
        path: Decoded path of the request.
        registry: The registry that it is for (`ns`).

    Raises:
        NameUnknown: The path is nothing of the pull API.
        NameInvalid: Its repository, tag or registry is malformed.
        DigestInvalid: Its digest is malformed.
    """
    head, _, reference = path.removeprefix(PREFIX).rpartition("/")
    repository, _, collection = head.rpartition("/")
    kind = _KINDS.get(collection)
    if not path.startswith(PREFIX) or kind is None or not repository:
        raise NameUnknown(f"nothing is served at {path[:200]!r}: expected manifests or blobs")
    if not is_registry(registry):
        raise NameInvalid(f"invalid registry {registry[:200]!r} in ns: expected a host")
    if not is_repository(repository):
        raise NameInvalid(f"invalid repository name {repository[:200]!r}")
    if kind is Kind.BLOB or ":" in reference:
        try:
            return Wanted(kind, registry, repository, Digest.parse(reference), None)
        except InvalidDigest as error:
            raise DigestInvalid(str(error)) from error
    if not is_tag(reference):
        raise NameInvalid(f"invalid tag {reference[:200]!r}")
    return Wanted(kind, registry, repository, None, reference)
