"""What this node gives out, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules that a request is held to.

    Attributes:
        covers: Whether a registry (host, with or without port) is mirrored here.
        default_registry: Registry meant by a request without `ns`.
        latest: Whether the tag `latest` is answered; it moves, so K3s leaves it to the upstream
            unless told otherwise.
        certificate: Whether `/v2` and `/metrics` need a client certificate of our CA.
    """

    covers: Callable[[str], bool]
    default_registry: str
    latest: bool
    certificate: bool
