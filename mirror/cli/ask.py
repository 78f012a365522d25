"""Asking the node that runs on this machine, over its control socket."""

from __future__ import annotations

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from mirror.config.load import load
from mirror.errors import SetupError

DataDir = Annotated[
    str | None, typer.Option("--data-dir", metavar="PATH", help="The node's data-dir.")
]
ConfigFile = Annotated[
    str | None, typer.Option("--config", "-c", metavar="FILE", help="The node's configuration.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_SOCKET = "control.sock"
_SECONDS = 10.0


def ask_node(data_dir: str | None, config: str | None, path: str, **query: str) -> dict[str, Any]:
    """The JSON that the running node answers.

    Raises:
        SetupError: No node runs with this data-dir, or it refused the question.
    """
    given = {"data_dir": data_dir, "config": config}
    settings = load("agent", {k: v for k, v in given.items() if v is not None}, os.environ)
    target = path + "".join(f"?{name}={quote(value)}" for name, value in query.items())
    connection = _UnixConnection(settings.node_dir / _SOCKET)
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        document: dict[str, Any] = json.loads(response.read())
    except PermissionError as error:
        raise SetupError(f"only the node's owner may ask at {connection.path}: use sudo") from error
    except TimeoutError as error:
        raise SetupError(
            f"the node at {connection.path} took longer than {_SECONDS:.0f} s: see its log"
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise SetupError(
            f"no node answers at {connection.path}: {cause}: start it with `spegla agent`, "
            "or name its --data-dir"
        ) from error
    finally:
        connection.close()
    if response.status != 200:
        raise SetupError(str(document.get("error", f"the node answered {response.status}")))
    return document


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(str(self.path))
