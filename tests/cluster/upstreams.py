"""Registries that one image can be pulled from, each with its own idea of who may, on one node.

Run as a program it serves them; `Upstreams` starts that in a node's namespace and reads who
asked for what, in order.
"""

from __future__ import annotations

import base64
import json
import ssl
import sys
import threading
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TOKEN = "a-token"


@dataclass(frozen=True, slots=True)
class Upstream:
    """One registry.

    Attributes:
        name: Its name in the list of requests.
        port: TCP port, on all addresses.
        cert: Certificate and chain, PEM; empty for plain HTTP.
        key: Its private key.
        client_ca: Asks for a client certificate of this CA; empty: asks for none.
        user: `user:password` that must be shown; empty: everybody may.
        token: Whether the password is for a token service, which is at `/token`.
        prefix: What stands before the repository here.
        has: Whether it holds the image.
    """

    name: str
    port: int
    cert: str = ""
    key: str = ""
    client_ca: str = ""
    user: str = ""
    token: bool = False
    prefix: str = ""
    has: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asked.

    Attributes:
        upstream: Name of the registry.
        method: HTTP method.
        path: Without query.
        ns: The registry whose image was wanted, as containerd tells a mirror.
        certificate: Whether a client certificate was shown.
        status: What it was answered.
    """

    upstream: str
    method: str
    path: str
    ns: str
    certificate: bool
    status: int


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: Upstream
    layout: Path
    repository: str

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        status, content, headers = self._answer(address.path)
        peer = self.request.getpeercert() if isinstance(self.request, ssl.SSLSocket) else None
        request = Request(
            self.upstream.name,
            self.command,
            address.path,
            parse_qs(address.query).get("ns", [""])[0],
            bool(peer),
            status,
        )
        print(json.dumps(asdict(request)), flush=True)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Its own log is the list of requests."""

    def _answer(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        upstream, shown = self.upstream, self.headers.get("Authorization", "")
        basic = "Basic " + base64.b64encode(upstream.user.encode()).decode()
        if upstream.token and path == "/token":
            if shown != basic:
                return HTTPStatus.UNAUTHORIZED, b"", {}
            return HTTPStatus.OK, json.dumps({"token": TOKEN}).encode(), {}
        wanted = f"Bearer {TOKEN}" if upstream.token else basic
        if upstream.user and shown != wanted:
            scheme = "https" if upstream.cert else "http"
            realm = f"{scheme}://{self.headers['Host']}/token"
            bearer = f'Bearer realm="{realm}",service="test"'
            challenge = bearer if upstream.token else 'Basic realm="test"'
            return HTTPStatus.UNAUTHORIZED, b"", {"WWW-Authenticate": challenge}
        root = f"/v2/{upstream.prefix}{self.repository}/"
        kind, _, name = path.removeprefix(root).partition("/")
        if not upstream.has or not path.startswith(root) or kind not in ("manifests", "blobs"):
            return HTTPStatus.NOT_FOUND, b"", {}
        digest = name
        if not name.startswith("sha256:"):
            index = json.loads((self.layout / "index.json").read_text())
            digest = index["manifests"][0]["digest"]
        file = self.layout / "blobs/sha256" / digest.removeprefix("sha256:")
        media_type = MANIFEST if kind == "manifests" else "application/octet-stream"
        headers = {"Docker-Content-Digest": digest, "Content-Type": media_type}
        return HTTPStatus.OK, file.read_bytes(), headers


def serve(specification: dict[str, Any]) -> None:
    """Serves until killed; prints a line of JSON for each request."""
    for entry in specification["upstreams"]:
        upstream = Upstream(**entry)
        own = {
            "upstream": upstream,
            "layout": Path(specification["layout"]),
            "repository": specification["repository"],
        }
        server = ThreadingHTTPServer(("", upstream.port), type("Handler", (_Handler,), own))
        if upstream.cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(upstream.cert, upstream.key)
            if upstream.client_ca:
                context.load_verify_locations(upstream.client_ca)
                context.verify_mode = ssl.CERT_OPTIONAL
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    serve(json.loads(Path(sys.argv[1]).read_text()))
