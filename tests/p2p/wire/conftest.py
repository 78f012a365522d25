"""Hosts on loopback, run in trio."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio

from p2p.settings import Limits, Settings
from p2p.wire.host import Host, Interfaces, open_host
from p2p.wire.interfaces import read_interfaces

LIMIT_SECONDS = 60.0

OpenHost = Callable[..., AbstractAsyncContextManager[Host]]


@pytest.fixture
def run_trio() -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Runs an async function in trio and fails when it hangs."""

    def run(main: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            with trio.fail_after(LIMIT_SECONDS):
                await main()

        trio.run(bounded)

    return run


@pytest.fixture
def new_host(tmp_path: Path) -> OpenHost:
    """Opens hosts with folders of their own, on free ports of 127.0.0.1 unless told otherwise."""
    numbers = itertools.count()

    @asynccontextmanager
    async def open_one(
        *,
        listening: bool = True,
        listen: tuple[str, ...] = ("127.0.0.1",),
        per_address: int = 100,
        psk: bytes | None = None,
        port: int = 0,
        interfaces: Interfaces = read_interfaces,
    ) -> AsyncIterator[Host]:
        settings = Settings(
            tmp_path / f"node{next(numbers)}",
            port=port,
            listen=listen,
            psk=psk,
            limits=Limits(connections_per_address=per_address),
        )
        async with open_host(settings, interfaces) as host:
            if listening:
                await host.listen()
            yield host

    return open_one
