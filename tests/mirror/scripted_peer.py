"""A peer that misbehaves on command: a raw server on a loopback address of the cluster's port."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mirror.oci.digest import Digest
from tests.mirror.loopback import Loopback, fresh_address

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


class Hangup(Exception):
    """The behaviour has ended the connection."""


@dataclass
class Asked:
    """One request, and the way to answer it with anything at all."""

    method: str
    target: str
    headers: dict[str, str]
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)

    @property
    def range(self) -> tuple[int, int] | None:
        """First and last byte that are asked for."""
        match = _RANGE.fullmatch(self.headers.get("range", ""))
        return None if match is None else (int(match[1]), int(match[2]))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: int, length: int | None, **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} Whatever"]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def ok(self, data: bytes, **headers: str) -> bytes:
        """Sends a right head; gives the bytes of the body that must follow."""
        headers.setdefault("Docker_Content_Digest", Digest.of(data))
        if self.range is None:
            await self.head(200, len(data), **headers)
            return b"" if self.method == "HEAD" else data
        first, last = self.range
        headers.setdefault("Content_Range", f"bytes {first}-{last}/{len(data)}")
        await self.head(206, last + 1 - first, **headers)
        return data[first : last + 1]

    async def hang(self) -> None:
        """Says nothing more until the asker gives up."""
        await self.reader.read()
        raise Hangup

    def finish(self) -> Hangup:
        """Closes the connection cleanly; to be raised."""
        return Hangup()

    def reset(self) -> Hangup:
        """Resets the connection; to be raised."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()
        return Hangup()


Behaviour = Callable[[Asked], Awaitable[None]]


@dataclass
class ScriptedPeer:
    """What it was asked, and what it does; `behaviour` may be changed at any time."""

    address: str
    behaviour: Behaviour
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().strip().split("\r\n")
                method, target, _ = first.split(" ")
                pairs = (line.split(": ", 1) for line in lines)
                headers = {name.lower(): value for name, value in pairs}
                asked = Asked(method, target, headers, reader, writer)
                self.asked.append(asked)
                await self.behaviour(asked)
        except (Hangup, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def _listening(peer: ScriptedPeer, port: int) -> AsyncIterator[None]:
    server = await asyncio.start_server(peer.serve, peer.address, port)
    try:
        yield
    finally:
        server.close()


async def scripted(cluster: Loopback, behaviour: Behaviour, *keys: str) -> ScriptedPeer:
    """Starts a peer that claims to hold `keys`, asked after those that were added before."""
    peer = ScriptedPeer(fresh_address(), behaviour)
    await cluster.stack.enter_async_context(_listening(peer, cluster.port))
    for key in keys:
        cluster.network.known_holders[key].append(peer.address)
    return peer


def holding(data: bytes, **headers: str) -> Behaviour:
    """Does all that it should."""

    async def behave(asked: Asked) -> None:
        await asked.send(await asked.ok(data, **headers))

    return behave


def answering(status: int, body: bytes = b"{}", **headers: str) -> Behaviour:
    """Answers everything with one status."""

    async def behave(asked: Asked) -> None:
        await asked.head(status, len(body), **headers)
        await asked.send(b"" if asked.method == "HEAD" else body)

    return behave


def raw(data: bytes) -> Behaviour:
    """Sends just these bytes and hangs up."""

    async def behave(asked: Asked) -> None:
        await asked.send(data)
        raise asked.finish()

    return behave


async def silent(asked: Asked) -> None:
    """Never answers."""
    await asked.hang()


async def hanging_up(asked: Asked) -> None:
    """Closes the connection instead of answering."""
    raise asked.finish()


def late(seconds: float, behaviour: Behaviour) -> Behaviour:
    """Does it, but not at once."""

    async def behave(asked: Asked) -> None:
        await asyncio.sleep(seconds)
        await behaviour(asked)

    return behave


def hanging_after(data: bytes, count: int) -> Behaviour:
    """Falls silent in mid-body."""

    async def behave(asked: Asked) -> None:
        await asked.send((await asked.ok(data))[:count])
        if asked.method != "HEAD":
            await asked.hang()

    return behave


def cut_after(data: bytes, count: int, *, reset: bool = False) -> Behaviour:
    """Ends the connection after `count` bytes of the body."""

    async def behave(asked: Asked) -> None:
        body = await asked.ok(data)
        if asked.method == "HEAD":
            return
        await asked.send(body[:count])
        if reset:
            await asyncio.sleep(0.02)  # a reset overtakes what is still on its way
            raise asked.reset()
        raise asked.finish()

    return behave


def trickling(data: bytes, piece: int, pause: float, after: int = 0) -> Behaviour:
    """Sends a piece at a time once `after` bytes are out."""

    async def behave(asked: Asked) -> None:
        body = await asked.ok(data)
        await asked.send(body[:after])
        for start in range(after, len(body), piece):
            await asked.send(body[start : start + piece])
            await asyncio.sleep(pause)

    return behave


def lying(data: bytes, at: int) -> Behaviour:
    """Sends one wrong byte; a negative `at` counts from the end."""
    wrong = bytearray(data)
    wrong[at] ^= 1
    return holding(bytes(wrong), Docker_Content_Digest=Digest.of(data))
