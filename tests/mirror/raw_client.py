"""A client that sees how a body ends, as containerd does: complete, by FIN or by RST."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum


class End(Enum):
    """How an answer ended."""

    COMPLETE = "complete"
    FIN = "fin"
    RST = "rst"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    end: End


async def fetch(
    address: str, port: int, target: str, method: str = "GET", timeout: float = 20.0, **extra: str
) -> Answer:
    """Asks once and reads to the end, whichever it is."""
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            lines = [f"{method} {target} HTTP/1.1", f"Host: {address}"]
            lines += [f"{name.replace('_', '-')}: {value}" for name, value in extra.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode())
            return await read_answer(reader, method)
        finally:
            writer.close()


async def read_answer(reader: asyncio.StreamReader, method: str = "GET") -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode().strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    expected = 0 if method == "HEAD" else int(headers["content-length"])
    body = bytearray()
    end = End.COMPLETE
    while len(body) < expected:
        try:
            piece = await reader.read(expected - len(body))
        except ConnectionError:
            end = End.RST
            break
        if not piece:
            end = End.FIN
            break
        body += piece
    return Answer(int(first.split(" ")[1]), headers, bytes(body), end)
