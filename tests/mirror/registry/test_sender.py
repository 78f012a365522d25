"""How bodies leave a node, and how they end when something fails."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import random
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from mirror.oci.digest import Digest
from mirror.store.file import FileBlob
from mirror.store.memory import MemoryStore
from mirror.store.port import Blob
from tests.mirror.leaks import nothing_left
from tests.mirror.loopback import QUICK, Loopback, LoopbackNode, loopback, until
from tests.mirror.raw_client import End, fetch, read_answer
from tests.mirror.scripted_peer import (
    cut_after,
    hanging_after,
    holding,
    late,
    lying,
    scripted,
    silent,
)

DATA = random.Random(12).randbytes(6_000_000)
DIGEST = Digest.of(DATA)
TARGET = f"/v2/library/x/blobs/{DIGEST}?ns=docker.io"
LIMITS = replace(QUICK, stall=0.4, verified_first=300_000, chunk=200_000)


class FileStore(MemoryStore):
    """Its content lies in files, as containerd's does."""

    def __init__(self, folder: Path) -> None:
        super().__init__(ready=True)
        self.folder = folder

    def put(self, data: bytes) -> Path:
        digest = self.add(data)
        path = self.folder / digest.hex
        path.write_bytes(data)
        return path

    def open(self, digest: Digest) -> Blob:  # type: ignore[override]
        super().open(digest).close()
        return FileBlob(self.folder / digest.hex)


class FailingBlob:
    """A blob whose store breaks after 2 MiB."""

    size = len(DATA)

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.closed = False

    def fileno(self) -> int | None:
        return None

    async def read(self, offset: int, length: int) -> bytes:
        if offset >= 2 * 1024 * 1024:
            raise self.error
        return DATA[offset : offset + length]

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
async def _nothing_left() -> AsyncIterator[None]:
    async with nothing_left():
        yield


@pytest.fixture(autouse=True)
def _nothing_blocks() -> Iterator[None]:
    with blockbuster_ctx("mirror") as blockbuster:
        # It cannot see that the socket does not block, and that the page cache holds the piece.
        blockbuster.functions["os.sendfile"].can_block_in("registry/sender.py", "_sendfile")
        yield


@pytest.fixture
async def cluster() -> AsyncIterator[Loopback]:
    async with loopback(LIMITS) as cluster:
        yield cluster


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> FileStore:
    return FileStore(tmp_path_factory.mktemp("content"))


@pytest.fixture
async def node(cluster: Loopback, store: FileStore) -> LoopbackNode:
    return await cluster.node(store)


async def test_file_goes_out_whole_in_part_and_again_on_the_same_connection(
    cluster: Loopback, node: LoopbackNode, store: FileStore
) -> None:
    store.put(DATA)
    reader, writer = await asyncio.open_connection(node.address, cluster.port)
    for asked, start, stop in (("", 0, len(DATA)), ("5-", 5, len(DATA)), ("9-4999999", 9, 5000000)):
        extra = f"Range: bytes={asked}\r\n" if asked else ""
        writer.write(f"GET {TARGET} HTTP/1.1\r\nHost: x\r\n{extra}\r\n".encode())
        answer = await read_answer(reader)
        assert (answer.status, answer.end) == (206 if asked else 200, End.COMPLETE)
        assert answer.body == DATA[start:stop]
    writer.close()


async def test_cold_file_is_read_in_a_thread(
    cluster: Loopback, node: LoopbackNode, store: FileStore
) -> None:
    path = store.put(DATA)
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert (await fetch(node.address, cluster.port, TARGET)).body == DATA


async def test_file_system_that_cannot_tell_what_is_cached_is_read_in_a_thread(
    cluster: Loopback,
) -> None:
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir():
        pytest.skip("no tmpfs here")
    with tempfile.TemporaryDirectory(dir=shared_memory) as folder:
        store = FileStore(Path(folder))
        store.put(DATA)
        node = await cluster.node(store)
        assert (await fetch(node.address, cluster.port, TARGET)).body == DATA


async def test_content_without_a_descriptor_is_read(cluster: Loopback) -> None:
    store = MemoryStore(ready=True)
    store.add(DATA)
    node = await cluster.node(store)
    answer = await fetch(node.address, cluster.port, TARGET, Range="bytes=7-")
    assert (answer.body, answer.end) == (DATA[7:], End.COMPLETE)


@pytest.mark.parametrize("keep", [0, 3_000_000])
async def test_file_cut_short_ends_the_body_cleanly_and_is_told(
    cluster: Loopback,
    node: LoopbackNode,
    store: FileStore,
    keep: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = store.put(DATA)
    os.truncate(path, keep)
    answer = await fetch(node.address, cluster.port, TARGET)
    assert (answer.status, answer.end) == (200, End.FIN)
    assert answer.body == DATA[:keep]
    assert f"content ends at byte {keep}" in caplog.text


async def test_small_file_cut_short_is_no_short_answer(
    cluster: Loopback, node: LoopbackNode, store: FileStore
) -> None:
    path = store.put(DATA[:1000])
    os.truncate(path, 500)
    target = f"/v2/library/x/blobs/{Digest.of(DATA[:1000])}?ns=docker.io"
    answer = await fetch(node.address, cluster.port, target)
    assert answer.status == 500
    assert b"errors" in answer.body


@pytest.mark.parametrize("error", [OSError(errno.EIO, "disk"), ValueError("a bug of ours")])
async def test_store_that_breaks_in_mid_body_never_adds_foreign_bytes(
    cluster: Loopback, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    blob = FailingBlob(error)

    class Failing(MemoryStore):
        def open(self, digest: Digest) -> Blob:  # type: ignore[override]
            return blob

    store = Failing(ready=True)
    store.add(DATA)
    node = await cluster.node(store)
    answer = await fetch(node.address, cluster.port, TARGET)
    assert (answer.status, answer.end) == (200, End.FIN)
    assert DATA.startswith(answer.body)
    assert blob.closed
    assert str(error) in caplog.text


@pytest.mark.parametrize("source", ["file", "memory", "peer"])
@pytest.mark.parametrize("reset", [False, True])
async def test_client_that_goes_away_in_mid_body_is_forgotten(
    cluster: Loopback,
    store: FileStore,
    source: str,
    reset: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if source == "memory":
        memory = MemoryStore(ready=True)
        memory.add(DATA)
        node = await cluster.node(memory)
    else:
        node = await cluster.node(store)
        if source == "file":
            store.put(DATA)
        else:
            await scripted(cluster, holding(DATA), DIGEST)
    with caplog.at_level(logging.WARNING):
        reader, writer = await asyncio.open_connection(node.address, cluster.port, limit=1000)
        writer.write(f"GET {TARGET} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.read(1000)
        if reset:
            linger = b"\1\0\0\0\0\0\0\0"
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
        await until(lambda: "client" in caplog.text)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    await until(lambda: not any(peer.running for peer in node.client.book.all()))


async def test_client_that_goes_away_before_the_head_is_no_error(
    cluster: Loopback, node: LoopbackNode, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await scripted(cluster, late(0.1, holding(DATA)), DIGEST)
    _, writer = await asyncio.open_connection(node.address, cluster.port)
    writer.write(f"GET {TARGET} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await until(lambda: peer.asked)
    writer.transport.abort()
    await until(lambda: not peer.open)
    await asyncio.sleep(0.05)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "fault",
    [
        cut_after(DATA, 1_000_000),
        cut_after(DATA, 1_000_000, reset=True),
        hanging_after(DATA, 1_000_000),
        lying(DATA, 10),
        lying(DATA, -1),
    ],
)
async def test_relay_that_cannot_be_finished_ends_with_a_fin(
    cluster: Loopback, node: LoopbackNode, fault: object
) -> None:
    await scripted(cluster, fault, DIGEST)  # type: ignore[arg-type]
    answer = await fetch(node.address, cluster.port, TARGET)
    assert (answer.status, answer.end) == (200, End.FIN)
    assert 0 < len(answer.body) < len(DATA)


async def test_nobody_who_answers_is_404(cluster: Loopback, node: LoopbackNode) -> None:
    await scripted(cluster, silent, DIGEST)
    answer = await fetch(node.address, cluster.port, TARGET)
    assert (answer.status, answer.end) == (404, End.COMPLETE)


async def test_slow_client_gets_everything_relayed(cluster: Loopback, node: LoopbackNode) -> None:
    await scripted(cluster, holding(DATA), DIGEST)
    reader, writer = await asyncio.open_connection(node.address, cluster.port, limit=10_000)
    writer.write(f"GET {TARGET} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await asyncio.sleep(0.5)  # longer than a peer may stall
    answer = await read_answer(reader)
    assert (answer.body, answer.end) == (DATA, End.COMPLETE)
    writer.close()
