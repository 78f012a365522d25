"""What is to be done, and who waits for it to be done."""

from __future__ import annotations

from collections.abc import Callable

from p2p.kad.commands import Announce, Ask, Command
from p2p.port import Key, PeerAddress

Settled = Callable[[bytes | None, float], None]
"""Takes an answer, or None where there is none, and the time."""


class Outbox:
    """Collects commands and hands their outcome to whoever gave them."""

    def __init__(self) -> None:
        self._commands: list[Command] = []
        self._waiting: dict[int, Settled] = {}
        self._last = 0

    def number(self) -> int:
        """A number that no other ticket or job has."""
        self._last += 1
        return self._last

    def ask(
        self, peer: PeerAddress, protocol: str, message: bytes, timeout: float, then: Settled
    ) -> None:
        """Has a message sent; `then` gets the answer."""
        ticket = self.number()
        self._waiting[ticket] = then
        self._commands.append(Ask(ticket, peer, protocol, message, timeout))

    def announce(self, peer: PeerAddress, keys: tuple[Key, ...], then: Settled) -> None:
        """Has keys announced to a peer; `then` learns whether they could be sent."""
        ticket = self.number()
        self._waiting[ticket] = then
        self._commands.append(Announce(ticket, peer, keys))

    def say(self, command: Command) -> None:
        """Adds a command that nobody waits for."""
        self._commands.append(command)

    def settle(self, ticket: int, answer: bytes | None, now: float) -> None:
        """Reports the outcome of a command."""
        self._waiting.pop(ticket)(answer, now)

    def drain(self) -> list[Command]:
        """Everything to be done since the last call."""
        commands, self._commands = self._commands, []
        return commands
