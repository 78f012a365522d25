"""The upstream: Debian's docker-registry, which counts what it sends."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cluster.daemon import Daemon
from tests.cluster.image import REGISTRY, Image
from tests.cluster.netns import CommandFailed, Namespace

_CONFIG = """\
version: 0.1
log:
  level: info
  formatter: json
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: {data}
  cache:
    blobdescriptor: inmemory
  maintenance:
    uploadpurging:
      enabled: false
http:
  addr: :5000
"""


class Registry:
    """Serves `reg.test:5000` over plain HTTP while it is started; keeps its images when stopped."""

    def __init__(self, space: Namespace, folder: Path) -> None:
        """Writes its configuration below `folder`; nothing runs yet."""
        folder.mkdir()
        config = folder / "config.yml"
        config.write_text(_CONFIG.format(data=folder / "data"))
        self._space = space
        argv = ["docker-registry", "serve", str(config)]
        self._daemon = Daemon(space, argv, folder / "registry.log")

    def start(self) -> None:
        """Starts it, if it does not run, and waits until it answers."""
        if not self._daemon.alive:
            self._daemon.start(self._answers)

    def stop(self) -> None:
        """Stops it: connections to it are refused from now on."""
        self._daemon.kill()

    def push(self, image: Image) -> None:
        """Uploads an image as it is, digests kept."""
        source = f"oci:{image.layout}:{image.tag}"
        target = f"docker://{image.reference}"
        copy = ["skopeo", "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"]
        self._space.run(["env", "-u", "https_proxy", "-u", "http_proxy", *copy, source, target])

    def sent_bytes(self, image: Image) -> int:
        """Bytes of an image's manifests and blobs that it has sent since it was made."""
        prefix = f"/v2/{image.repository}/"
        return sum(
            int(str(entry.get("http.response.written", 0)))
            for entry in self._log()
            if entry.get("http.request.method") == "GET"
            and str(entry.get("http.request.uri", "")).startswith(prefix)
        )

    def _log(self) -> list[dict[str, object]]:
        """Its answers so far."""
        return [
            json.loads(line)
            for line in self._daemon.output().splitlines()
            if line.startswith("{") and "response completed" in line
        ]

    def _answers(self) -> bool:
        try:
            self._space.run(["curl", "-sf", "--noproxy", "*", f"http://{REGISTRY}/v2/"])
        except CommandFailed:
            return False
        return True
