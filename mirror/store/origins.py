"""Which registries content belongs to when only image names tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mirror.oci.digest import Digest
from mirror.oci.manifest import InvalidManifest, children
from mirror.oci.media import MANIFEST_TYPES
from mirror.oci.reference import hostname
from mirror.store.port import Content


def origins(
    names: Mapping[str, Digest],
    find: Callable[[Digest], Content | None],
    read: Callable[[Digest], bytes],
) -> dict[Digest, frozenset[str]]:
    """The registries of all content that `names` reach through indexes and manifests.

    Args:
        names: Full image names, and what they point to.
        find: What the store knows of a digest.
        read: The bytes of a manifest that `find` knows; may raise OSError.

    Returns:
        Hosts without port, per digest held.
    """
    found: dict[Digest, set[str]] = {}
    for name, digest in names.items():
        host = hostname(name.partition("/")[0])
        waiting = [digest]
        while waiting:
            current = waiting.pop()
            content = find(current)
            hosts = found.setdefault(current, set())
            if content is None or host in hosts:
                continue
            hosts.add(host)
            if content.media_type in MANIFEST_TYPES:
                waiting.extend(_children(current, read))
    return {digest: frozenset(hosts) for digest, hosts in found.items() if hosts}


def _children(digest: Digest, read: Callable[[Digest], bytes]) -> list[Digest]:
    try:
        return [child.digest for child in children(read(digest))]
    except (OSError, InvalidManifest):
        return []
