"""What containerd's labels and names say about where content came from."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from mirror.oci.reference import InvalidReference, Reference

SOURCE: Final = "containerd.io/distribution.source."
"""Prefix of the labels `…<host without port>` = `<repository>[,<repository>…]`."""


def registries(labels: Iterable[str]) -> frozenset[str]:
    """The hosts that content was pulled from.

    Equal sets are one object: thousands of blobs share a handful of them.
    """
    return _shared(frozenset(name[len(SOURCE) :] for name in labels if name.startswith(SOURCE)))


def tag_name(name: str) -> str | None:
    """The image name if it is `registry/repository:tag` in full, else None.

    containerd's list also holds CRI's `sha256:<config>` and `repository@digest`, and whatever
    names other tools made up.
    """
    if "@" in name or name.startswith("sha256:"):
        return None
    try:
        reference = Reference.parse(name)
    except InvalidReference:
        return None
    return name if reference.tag_key == name else None


@lru_cache(maxsize=1024)
def _shared(hosts: frozenset[str]) -> frozenset[str]:
    return hosts
