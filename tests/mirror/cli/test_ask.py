from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from mirror.cli.ask import ask_node
from mirror.errors import SetupError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "agent" / "spegla"
    path.mkdir(parents=True)
    return path


def question(data_dir: Path) -> str:
    with pytest.raises(SetupError) as caught:
        ask_node(str(data_dir), None, "/status")
    return str(caught.value)


def test_a_node_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    assert question(tmp_path) == (
        f"no node answers at {tmp_path}/agent/spegla/control.sock: No such file or directory: "
        "start it with `spegla agent`, or name its --data-dir"
    )


def test_the_socket_of_a_killed_node_refuses(tmp_path: Path, folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "control.sock"))
    assert "Connection refused" in question(tmp_path)


def test_what_speaks_no_http_is_no_node(tmp_path: Path, folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "control.sock"))
        server.listen()

        def answer() -> None:
            with server.accept()[0] as client:
                client.sendall(b"SSH-2.0-nonsense\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        assert "no node answers" in question(tmp_path)
        thread.join(5)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_others_than_the_owner_are_told_so(tmp_path: Path, folder: Path) -> None:
    folder.chmod(0o700)
    os.seteuid(65534)
    try:
        assert "use sudo" in question(tmp_path)
    finally:
        os.seteuid(0)
