"""The node's identity on disk: `peer.key`."""

from __future__ import annotations

import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from libp2p.crypto.keys import KeyPair
from libp2p.peer.id import ID

from p2p.port import PeerId
from p2p.wire.keys import key_pair_from_pem, new_key_pem

log = logging.getLogger("spegla.p2p")

IDENTITY_FILE = "peer.key"

_MAX_KEY_BYTES = 64 * 1024


class IdentityError(ValueError):
    """The identity on disk cannot be used; starting with another one is the operator's choice."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is.

    Attributes:
        keys: Its key pair.
        peer: The peer id that follows from it.
    """

    keys: KeyPair
    peer: PeerId

    @classmethod
    def of(cls, keys: KeyPair) -> Identity:
        """The identity of a key pair."""
        return cls(keys, PeerId(ID.from_pubkey(keys.public_key).to_bytes()))


def load_or_create(path: Path) -> Identity:
    """Reads the identity, or makes one that outlives restarts.

    A stale peer id in others' bootstrap lists never connects with Go nodes, so a file that is
    there but unreadable is an error and not a reason to make a new one.

    Raises:
        IdentityError: The file cannot be read, written, or holds no usable key.
    """
    try:
        pem = _read(path)
        if pem is None:
            pem = _create(path)
    except OSError as error:
        raise IdentityError(
            f"cannot read or create the node's identity {path}: {error.strerror}; "
            "check the folder's owner, mode and free space"
        ) from error
    try:
        return Identity.of(key_pair_from_pem(pem))
    except ValueError as error:
        raise IdentityError(
            f"the node's identity {path} holds {error}: restore it from a backup, or remove the "
            "file to become a new peer"
        ) from error


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read(_MAX_KEY_BYTES)
    except FileNotFoundError:
        return None
    if mode & 0o077:
        log.warning("%s was readable by others (mode %o), now it is not", path, mode & 0o777)
        path.chmod(0o600)
    return pem


def _create(path: Path) -> bytes:
    """Writes beside and links into place, so that of two starting nodes one key wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pem = new_key_pem()
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return path.read_bytes()
    finally:
        temporary.unlink(missing_ok=True)
    return pem
