"""Imports the parts of py-libp2p that are used, and none of the rest.

`import libp2p` costs 44 MiB of RSS and a second, most of it for QUIC, WebSocket, relay, DNS and
ACME. Two thirds of that is spared by not running the `__init__` of packages that only gather
things, and by handing out empty modules where a name is wanted for a type alias alone
(14.5 MiB, 0.07 s; measured with 0.8.1 beside aiohttp, grpc and pydantic).
"""

from __future__ import annotations

import importlib
import logging
import sys
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("spegla.p2p")

TESTED_VERSION = "0.8.1"
"""The py-libp2p whose internals the diet and the patches were written for."""

_USED = (
    "libp2p.crypto.ed25519",
    "libp2p.crypto.serialization",
    "libp2p.crypto.x25519",
    "libp2p.identity.identify.pb.identify_pb2",
    "libp2p.peer.id",
    "libp2p.security.noise.transport",
    "libp2p.stream_muxer.yamux.yamux",
)

_WITHOUT_INIT = frozenset(
    {
        "libp2p",
        "libp2p.identity",
        "libp2p.identity.identify",
        "libp2p.network",
        "libp2p.network.connection",
        "libp2p.peer",
        "libp2p.pubsub",
        "libp2p.security",
        "libp2p.security.noise",
        "libp2p.stream_muxer",
        "libp2p.stream_muxer.yamux",
        "libp2p.tools",
        "libp2p.transport",
        "libp2p.transport.quic",
    }
)

_EMPTY = frozenset(
    {
        # RSA and secp256k1 load two more crypto libraries; Spegel's keys are Ed25519, K3s's ECDSA.
        "libp2p.crypto.rsa",
        "libp2p.crypto.secp256k1",
        "libp2p.tools.anyio_service",
        "libp2p.tools.anyio_service.api",
        "libp2p.transport.quic.stream",
        "libp2p.utils.address_validation",
    }
)


@cache
def is_tested_version() -> bool:
    """Whether the installed py-libp2p is the one our changes to it were written for."""
    return version("libp2p") == TESTED_VERSION


def preload() -> None:
    """Puts the used modules of py-libp2p into `sys.modules`; plain imports find them there.

    With another version, or when the slim import fails, the whole library is imported: more
    memory, same function.
    """
    if "libp2p" not in sys.modules and not (is_tested_version() and _import_slim()):
        log.warning(
            "importing all of libp2p %s, without our fixes to it if it is not %s",
            version("libp2p"),
            TESTED_VERSION,
        )
        importlib.import_module("libp2p")
    _silence_library()


def _import_slim() -> bool:
    finder = _SlimFinder()
    sys.meta_path.insert(0, finder)
    try:
        for name in _USED:
            importlib.import_module(name)
    except Exception as error:
        log.warning("slim import of libp2p failed: %s", error)
        for name in [name for name in sys.modules if name.partition(".")[0] == "libp2p"]:
            del sys.modules[name]
        return False
    else:
        return True
    finally:
        sys.meta_path.remove(finder)


def _silence_library() -> None:
    """Every nonsense of a peer is an error in the library's log, and unformatted on stderr."""
    library = logging.getLogger("libp2p")
    library.handlers.clear()
    library.propagate = True
    library.setLevel(logging.CRITICAL)


class _EmptyModule(ModuleType):
    """A module in which every name is a class of no use."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("_"):
            raise AttributeError(name)
        return type(name, (), {"from_bytes": None})


class _SlimFinder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del target
        if fullname in _EMPTY:
            return ModuleSpec(fullname, self, is_package=True)
        if fullname not in _WITHOUT_INIT:
            return None
        found = PathFinder.find_spec(fullname, path)
        if found is None or found.submodule_search_locations is None:
            return None
        spec = ModuleSpec(fullname, self, is_package=True)
        spec.submodule_search_locations = list(found.submodule_search_locations)
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _EmptyModule(spec.name) if spec.name in _EMPTY else ModuleType(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        del module
