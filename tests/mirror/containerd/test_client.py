from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from google.protobuf.empty_pb2 import Empty

from mirror.containerd.client import Containerd
from mirror.containerd.connection import ContainerdError, ContainerdUnavailable, ContentNotFound
from mirror.oci.digest import Digest
from tests.mirror.containerd.fake import FakeContainerd

HELD = Digest.of(b"held")
NAME = "docker.io/library/a:1"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[FakeContainerd]:
    node = FakeContainerd(tmp_path)
    await node.add(b"held", "docker.io")
    async with node.serving():
        yield node


@pytest.fixture
async def client(node: FakeContainerd) -> AsyncIterator[Containerd]:
    async with Containerd(node.socket, "k8s.io", deadline=1.0) as client:
        yield client


async def test_every_call_names_the_namespace(client: Containerd, node: FakeContainerd) -> None:
    info = await client.content.info(HELD)
    assert info is not None
    assert (info.digest, info.size) == (HELD, 4)
    assert info.labels == {"containerd.io/distribution.source.docker.io": "a/b"}
    assert await client.server.version() == "v0.0-fake"
    assert node.namespaces == {"k8s.io"}


async def test_what_is_not_there_is_none(client: Containerd) -> None:
    assert await client.content.info(Digest.of(b"other")) is None
    assert await client.images.get("other") is None
    with pytest.raises(ContentNotFound):
        await client.content.read(Digest.of(b"other"), 0, 1)


async def test_content_without_a_sha256_digest_is_passed_over(
    client: Containerd, node: FakeContainerd
) -> None:
    node.images = {NAME: HELD, "docker.io/library/b:1": "sha512:00"}
    assert [info.digest for info in await client.content.list()] == [HELD]
    assert [image.name for image in await client.images.list()] == [NAME]
    assert await client.images.get("docker.io/library/b:1") is None


async def test_reads_are_joined(client: Containerd, node: FakeContainerd) -> None:
    data = bytes(range(256)) * 2000
    await node.add(data, "docker.io")
    assert await client.content.read(Digest.of(data), 1, 450_000) == data[1:450_001]


async def test_content_root_is_told(client: Containerd, node: FakeContainerd) -> None:
    assert await client.server.content_root() == node.root


async def test_image_events_give_names_and_their_end_shows(
    client: Containerd, node: FakeContainerd
) -> None:
    names = client.events.image_names()
    await client.server.version()
    await asyncio.sleep(0.1)  # it is not acknowledged
    node.tell("/tasks/exit", b"")
    node.tell("/images/create", b"\xff\xff\xff")
    await node.set_name("a", HELD)
    await node.remove_name("a")
    node.tell("end", b"")
    assert [name async for name in names] == ["a", "a"]


async def test_refusal_is_no_absence(client: Containerd) -> None:
    with pytest.raises(ContainerdError, match="PERMISSION_DENIED: not for you") as caught:
        await client.content.info(Digest.of(b"forbidden"))
    assert not isinstance(caught.value, ContainerdUnavailable)


async def test_unknown_service_is_an_error(client: Containerd) -> None:
    with pytest.raises(ContainerdError, match="UNIMPLEMENTED"):
        await client.connection.call(
            client.connection.channel.unary_unary(
                "/containerd.services.none.v1.None/Say", Empty.SerializeToString, Empty.FromString
            ),
            Empty(),
        )


async def test_hanging_call_ends_at_its_deadline(client: Containerd, node: FakeContainerd) -> None:
    node.silent = True
    with pytest.raises(ContainerdUnavailable, match="no answer within 1 s"):
        await client.images.get("a")
    with pytest.raises(ContainerdUnavailable, match="no answer within 1 s"):
        await client.content.list()
    node.silent = False


async def test_closed_connection_is_unavailable(client: Containerd) -> None:
    await client.connection.channel.close()
    with pytest.raises(ContainerdUnavailable, match="closed"):
        await client.images.get("a")


async def test_missing_socket_is_unavailable(tmp_path: Path) -> None:
    async with Containerd(tmp_path / "none.sock", "k8s.io", deadline=5.0) as client:
        with pytest.raises(ContainerdUnavailable, match="No such file"):
            await client.server.version()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def _silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@pytest.mark.parametrize("handler", [_garbage, _silence])
async def test_what_is_no_containerd_is_unavailable(tmp_path: Path, handler: Handler) -> None:
    server = await asyncio.start_unix_server(handler, tmp_path / "s.sock")
    async with server, Containerd(tmp_path / "s.sock", "k8s.io", deadline=1.0) as client:
        with pytest.raises(ContainerdUnavailable):
            await client.server.version()
