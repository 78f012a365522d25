"""nginx, which ours is measured beside: as a file server and as a proxy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.client import Client
from tests.cluster.daemon import Daemon
from tests.cluster.netns import Namespace
from tests.cluster.spegla import Tls

PORT = 8080

_CONFIG = """\
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  default_type application/octet-stream;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {upstream}
  server {{
    listen {port}{security}
    {locations}
  }}
}}
"""

# As ours: TLS 1.3, and a client certificate is needed.
_SERVER_TLS = """ ssl;
    ssl_protocols TLSv1.3;
    ssl_certificate {tls.cert};
    ssl_certificate_key {tls.key};
    ssl_client_certificate {tls.ca};
    ssl_verify_client on;
"""

_UPSTREAM = """
  upstream origin {{
    server {origin}:{port};
    keepalive 16;
  }}"""

_PROXY = """
    location / {{
      proxy_pass {scheme}://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      {security}
    }}"""

_PROXY_TLS = """
      proxy_ssl_protocols TLSv1.3;
      proxy_ssl_certificate {tls.cert};
      proxy_ssl_certificate_key {tls.key};
      proxy_ssl_trusted_certificate {tls.ca};
      proxy_ssl_verify on;
      proxy_ssl_name localhost;
"""


class Nginx:
    """One nginx with one worker process, in one namespace."""

    def __init__(
        self, space: Namespace, folder: Path, tls: Tls | None, locations: str, upstream: str = ""
    ) -> None:
        """Writes its configuration below `folder`; nothing runs yet."""
        folder.mkdir(parents=True)
        config = folder / "nginx.conf"
        config.write_text(
            _CONFIG.format(
                folder=folder,
                port=PORT,
                security=_SERVER_TLS.format(tls=tls) if tls else ";",
                locations=locations,
                upstream=upstream,
            )
        )
        self.daemon = Daemon(space, ["nginx", "-c", str(config)], folder / "nginx.log")

    def start(self, client: Client, url: str) -> None:
        """Starts it and waits until `client` gets `url`."""
        self.daemon.start(lambda: client.answers(url))


def serving(space: Namespace, folder: Path, files: Mapping[str, Path], tls: Tls | None) -> Nginx:
    """One that serves files under the paths that they are given."""
    locations = "".join(
        f"\n    location = {path} {{ alias {file}; }}" for path, file in files.items()
    )
    return Nginx(space, folder, tls, locations)


def passing_on(space: Namespace, folder: Path, origin: Namespace, tls: Tls | None) -> Nginx:
    """One that passes everything on from the nginx in the namespace `origin`."""
    security = _PROXY_TLS.format(tls=tls) if tls else ""
    locations = _PROXY.format(scheme="https" if tls else "http", security=security)
    return Nginx(space, folder, tls, locations, _UPSTREAM.format(origin=origin.ipv4, port=PORT))
