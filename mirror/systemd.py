"""Telling systemd that the node is up, and that its event loop still turns (sd_notify(3))."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping

log = logging.getLogger("spegla.agent")


class Notifier:
    """Sends states to the socket that systemd names; without one it does nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Reads `NOTIFY_SOCKET` and `WATCHDOG_USEC`."""
        address = environ.get("NOTIFY_SOCKET", "")
        # An @ stands for the zero byte of Linux's abstract names.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        period = environ.get("WATCHDOG_USEC", "")
        self._period = int(period) / 1_000_000 if period.isdigit() else 0.0

    def tell(self, state: str) -> None:
        """Sends one state, such as `READY=1`; never waits, never raises."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.sendto(state.encode(), self._address)
        except OSError as error:
            log.warning("systemd was not told %s: %s", state, error)

    async def run(self) -> None:
        """Feeds the watchdog from the event loop: a node that hangs is started anew."""
        while self._period:
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self._period / 3)
