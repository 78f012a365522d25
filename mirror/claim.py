"""A folder that one running node has for itself."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mirror.errors import SetupError


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Makes `folder`, for its owner only, and keeps other nodes out while the context lasts.

    Two nodes in one folder would be one peer to the network, and each would take away the other's
    control socket. The kernel frees the claim of a node that was killed.

    Raises:
        SetupError: Another node runs there, or the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SetupError(
            f"{error.filename or folder}: this node's files cannot be kept there: "
            f"{error.strerror}: run as root or set --data-dir"
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SetupError(
                f"another spegla runs on {folder}: stop it, or give this one its own --data-dir"
            ) from error
        yield
    finally:
        os.close(lock)
