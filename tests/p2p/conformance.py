"""What every `p2p.port.Host` must do; the one in memory and the one on sockets both pass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio

from p2p.port import (
    BadMessage,
    Host,
    PeerAddress,
    PeerConnected,
    PeerDisconnected,
    PeerEvent,
    PeerUnreachable,
)

ECHO = "/test/echo/1"
SINK = "/test/sink/1"
BROKEN = "/test/broken/1"

NewHost = Callable[[], AbstractAsyncContextManager[Host]]
"""Opens a host that does not listen yet."""


class Pair:
    """Two hosts: one that asks and one that answers."""

    def __init__(self, asker: Host, server: Host) -> None:
        self.asker = asker
        self.server = server
        self.received: list[bytes] = []
        self.senders: set[bytes] = set()
        self.events: list[PeerEvent] = []
        server.handle(ECHO, self._echo)
        server.handle(SINK, self._sink)
        server.handle(BROKEN, self._broken)
        asker.subscribe(self.events.append)

    async def ask(self, message: bytes, protocol: str = ECHO, timeout: float = 2.0) -> bytes:
        return await self.asker.request(self.server.local, protocol, message, timeout)

    async def _echo(self, sender: PeerAddress, message: bytes) -> bytes | None:
        self.senders.add(sender.peer)
        if message == b"slow":
            await trio.sleep(0.3)
        return b"<" + message + b">"

    async def _sink(self, sender: PeerAddress, message: bytes) -> bytes | None:
        self.received.append(message)
        return None

    async def _broken(self, sender: PeerAddress, message: bytes) -> bytes | None:
        if message == b"nonsense":
            raise BadMessage("nonsense")
        return message


@asynccontextmanager
async def open_pair(new_host: NewHost) -> AsyncIterator[Pair]:
    async with new_host() as asker, new_host() as server:
        pair = Pair(asker, server)
        await asker.listen()
        await server.listen()
        yield pair


async def check_host(new_host: NewHost) -> None:
    """Runs every check below, each on a fresh pair."""
    for check in (
        _requests_are_answered_in_order,
        _large_and_empty_messages_arrive,
        _messages_without_answer_arrive_in_order,
        _connections_are_told,
        _nonsense_costs_one_request,
        _unknown_protocols_are_refused,
        _a_caller_that_gives_up_harms_nobody,
        _nobody_there_is_unreachable,
        _bare_addresses_are_identified,
        _disconnected_peers_are_dialled_again,
    ):
        async with open_pair(new_host) as pair:
            with trio.fail_after(20):
                await check(pair)


async def _requests_are_answered_in_order(pair: Pair) -> None:
    assert pair.server.local.addresses
    answers = []

    async def ask(number: int) -> None:
        answers.append(await pair.ask(b"%d" % number))

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(ask, number)
    assert sorted(answers) == sorted(b"<%d>" % number for number in range(50))
    assert pair.senders == {pair.asker.local.peer}


async def _large_and_empty_messages_arrive(pair: Pair) -> None:
    large = bytes(range(256)) * 4096
    assert await pair.ask(large, timeout=10.0) == b"<" + large + b">"
    assert await pair.ask(b"") == b"<>"


async def _messages_without_answer_arrive_in_order(pair: Pair) -> None:
    messages = [b"%d" % number for number in range(500)]
    await pair.asker.send(pair.server.local, SINK, messages[:200], 2.0)
    await pair.asker.send(pair.server.local, SINK, messages[200:], 2.0)
    await pair.asker.send(pair.server.local, SINK, [], 2.0)
    await _until(lambda: len(pair.received) == 500)
    assert pair.received == messages


async def _connections_are_told(pair: Pair) -> None:
    await pair.ask(b"hello")
    await _until(lambda: len(pair.events) == 1)
    (event,) = pair.events
    assert isinstance(event, PeerConnected)
    assert event.address == pair.server.local
    assert event.protocols >= {ECHO, SINK, BROKEN}
    assert event.agent
    assert pair.asker.connections == pair.server.connections == 1
    await pair.asker.disconnect(pair.server.local.peer)
    await _until(lambda: len(pair.events) == 2)
    assert pair.events[1] == PeerDisconnected(pair.server.local.peer)


async def _nonsense_costs_one_request(pair: Pair) -> None:
    start = trio.current_time()
    with pytest.raises(PeerUnreachable):
        await pair.ask(b"nonsense", BROKEN, timeout=5.0)
    assert trio.current_time() - start < 4.0
    assert await pair.ask(b"sense", BROKEN) == b"sense"
    assert await pair.ask(b"still here") == b"<still here>"


async def _unknown_protocols_are_refused(pair: Pair) -> None:
    with pytest.raises(PeerUnreachable):
        await pair.ask(b"x", "/test/unknown/1")
    assert await pair.ask(b"x") == b"<x>"


async def _a_caller_that_gives_up_harms_nobody(pair: Pair) -> None:
    with trio.move_on_after(0.05) as scope:
        await pair.ask(b"slow")
    assert scope.cancelled_caught
    assert await pair.ask(b"next") == b"<next>"
    with pytest.raises(PeerUnreachable):
        await pair.ask(b"slow", timeout=0.1)
    assert await pair.ask(b"after that", timeout=3.0) == b"<after that>"


async def _nobody_there_is_unreachable(pair: Pair) -> None:
    wrong_id = PeerAddress(pair.server.local.peer[:-1] + b"\0", pair.server.local.addresses)
    port = (1).to_bytes(2, "big")
    closed = PeerAddress(
        pair.server.local.peer, tuple(a[:-2] + port for a in pair.server.local.addresses)
    )
    for nobody in (wrong_id, closed):
        with pytest.raises(PeerUnreachable):
            await pair.asker.request(nobody, ECHO, b"x", 3.0)
        with pytest.raises(PeerUnreachable):
            await pair.asker.send(nobody, SINK, [b"x"], 3.0)


async def _bare_addresses_are_identified(pair: Pair) -> None:
    (address, *_) = pair.server.local.addresses
    found = await pair.asker.identify(address, 3.0)
    assert found == PeerAddress(pair.server.local.peer, (address,))
    with pytest.raises(PeerUnreachable):
        await pair.asker.identify(address[:-2] + b"\0\1", 3.0)


async def _disconnected_peers_are_dialled_again(pair: Pair) -> None:
    await pair.ask(b"x")
    await pair.asker.disconnect(pair.server.local.peer)
    await pair.asker.disconnect(pair.server.local.peer)
    assert await pair.ask(b"y") == b"<y>"


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for happens in the host under test
        await trio.sleep(0.01)
