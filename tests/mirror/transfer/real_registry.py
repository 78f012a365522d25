"""The reference implementation of a registry, as a process of its own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

_PASSWORDS = "user:$2b$04$ucU./hOGzyF8Xumz6TcGw.WnKkZgfHUYyddEg.J3kFIHHSGXcC5AS\n"
"""The password is `secret`."""


@asynccontextmanager
async def docker_registry(folder: Path, *, passwords: bool = False) -> AsyncIterator[str]:
    """Runs one on a free port; gives its `host:port`."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    port = await _free_port()
    config = folder / "registry.yaml"
    text = (
        "version: 0.1\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
        "log: {accesslog: {disabled: true}, level: error}\n"
    )
    if passwords:
        (folder / "htpasswd").write_text(_PASSWORDS)
        text += f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"
    config.write_text(text)
    with (folder / "registry.log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            "docker-registry", "serve", str(config), stdout=output, stderr=output
        )
    try:
        async with asyncio.timeout(20):
            while not await _accepts(port):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


async def _free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with server:
        port: int = server.sockets[0].getsockname()[1]
        return port


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def skopeo(*arguments: str) -> bytes:
    """Runs skopeo and gives what it printed."""
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed")
    process = await asyncio.create_subprocess_exec(
        "skopeo", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output
