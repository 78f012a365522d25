"""Builds the Go peer of `go/` and drives it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "go"
CACHE = Path(__file__).parents[2] / ".cache" / "interop-go"
BUILD_SECONDS = 600


class NoGo(Exception):
    """The peer cannot be built on this machine."""


def build() -> Path:
    """The peer's binary, built once for each state of its sources.

    Raises:
        NoGo: Go is missing, or its modules cannot be had.
    """
    digest = hashlib.sha256(
        b"".join((SOURCES / name).read_bytes() for name in ("main.go", "go.mod", "go.sum"))
    ).hexdigest()
    binary = CACHE / f"peer-{digest[:16]}"
    if binary.exists():
        return binary
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if go is None:
        raise NoGo("Go is not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    building = binary.with_suffix(f".{os.getpid()}")
    try:
        subprocess.run(
            [go, "build", "-o", building, "."],
            cwd=SOURCES,
            check=True,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
        )
    except (subprocess.SubprocessError, OSError) as error:
        cause = getattr(error, "stderr", None) or str(error)
        raise NoGo(f"the Go peer cannot be built: {str(cause)[-500:]}") from error
    building.replace(binary)
    return binary


class GoPeer:
    """A running Go peer."""

    def __init__(self, process: asyncio.subprocess.Process, hello: dict[str, Any]) -> None:
        self._process = process
        self.id: str = hello["id"]
        self.address: str = f"{hello['addrs'][0]}/p2p/{self.id}"

    async def call(self, op: str, **arguments: Any) -> Any:
        """Runs one command; raises `RuntimeError` with the error that Go answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
        answer = await read_line(self._process)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]


async def read_line(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(120):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("the Go peer ended")
    answer: dict[str, Any] = json.loads(line)
    return answer


@asynccontextmanager
async def go_peer(
    binary: Path, listen: str, *, psk: bytes | None = None, ecdsa: bool = False
) -> AsyncIterator[GoPeer]:
    """Runs a Go peer that listens on the multiaddr `listen`."""
    arguments = [f"-listen={listen}"]
    arguments += [f"-psk={psk.hex()}"] if psk else []
    arguments += ["-ecdsa"] if ecdsa else []
    process = await asyncio.create_subprocess_exec(
        binary,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    try:
        yield GoPeer(process, await read_line(process))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
