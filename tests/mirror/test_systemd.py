"""systemd is told by datagrams to the socket that it names."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def listening(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[socket.socket, str]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@spegla-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        sock.bind(name.replace("@", "\0"))
        yield sock, name


def test_states_arrive(listening: tuple[socket.socket, str]) -> None:
    sock, address = listening
    Notifier({"NOTIFY_SOCKET": address}).tell("READY=1")
    assert sock.recv(100) == b"READY=1"


async def test_watchdog_is_fed_three_times_a_period(listening: tuple[socket.socket, str]) -> None:
    sock, address = listening
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000"})
    task = asyncio.create_task(notifier.run())
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sock.recv(100) == sock.recv(100) == b"WATCHDOG=1"


async def test_without_systemd_nothing_happens() -> None:
    notifier = Notifier({})
    notifier.tell("READY=1")
    await notifier.run()


def test_a_socket_that_is_gone_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    Notifier({"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "x"}).tell("READY=1")
    assert "systemd was not told READY=1" in caplog.text
