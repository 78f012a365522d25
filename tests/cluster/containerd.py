"""A containerd of one's own: root, state, socket and registry configuration below one folder."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from mirror.oci.digest import Digest
from tests.cluster.cri import Cri
from tests.cluster.daemon import Daemon
from tests.cluster.image import REGISTRY, Image
from tests.cluster.netns import CommandFailed, Namespace, run

CHECKOUT = Path(__file__).parents[2]

# Version 2 of the format, which 2.x migrates by itself. The folders and switches beyond root and
# state keep it from sharing /opt/containerd and /var/run/nri with the others on this machine.
_CONFIG = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  sandbox_image = "{registry}/pause:1"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{folder}/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    discard_unpacked_layers = false
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
"""


@dataclass(frozen=True, slots=True)
class Build:
    """A version of containerd on this machine.

    Attributes:
        name: Such as `1.6`.
        folder: Where containerd, its shim and ctr are.
    """

    name: str
    folder: Path

    def __str__(self) -> str:
        return self.name


def debian() -> Build:
    """The one that Debian 12 installs: 1.6."""
    return Build("1.6", Path("/usr/bin"))


def trixie() -> Build:
    """1.7, fetched on first use."""
    return _fetched("1.7", "trixie")


def newest() -> Build:
    """2.1 or later, fetched on first use."""
    return _fetched("2.1", "forky")


class Containerd:
    """One node's containerd."""

    def __init__(self, build: Build, space: Namespace, folder: Path) -> None:
        """Writes its configuration below `folder`; nothing runs yet."""
        folder.mkdir(parents=True)
        self.build = build
        self.root = folder / "root"
        self.socket = folder / "containerd.sock"
        self.certs = folder / "certs.d"
        self.content = self.root / "io.containerd.content.v1.content"
        self.certs.mkdir()
        config = folder / "config.toml"
        config.write_text(
            _CONFIG.format(folder=folder, registry=REGISTRY, snapshotter=_snapshotter(folder))
        )
        argv = [str(build.folder / "containerd"), "--config", str(config)]
        path = f"{build.folder}:{os.environ['PATH']}"  # so that it finds its own shim
        self.daemon = Daemon(space, argv, folder / "containerd.log", {"PATH": path})
        self.cri = Cri(self.socket)

    def start(self) -> None:
        """Starts it and waits until CRI answers."""
        self.daemon.start(self.cri.answers)

    def use_registry_directly(self) -> None:
        """Writes the hosts.toml of a node that has no mirror."""
        hosts = self.certs / REGISTRY / "hosts.toml"
        hosts.parent.mkdir(exist_ok=True)
        # containerd 1.6.20 refuses a file that names a server and no host.
        hosts.write_text(f'[host."http://{REGISTRY}"]\n')

    def blobs(self) -> set[Digest]:
        """What is committed to its content store, by the names of the files."""
        folder = self.content / "blobs/sha256"
        return {Digest.parse(f"sha256:{path.name}") for path in folder.glob("*")}

    def wrong_blobs(self, image: Image) -> list[Digest]:
        """The blobs of an image that are missing here or whose bytes do not fit their name."""
        return [digest for digest in image.blobs if self._digest_on_disk(digest) != digest]

    def downloads(self) -> dict[str, int]:
        """The unfinished downloads in its content store, with the bytes that have come of each."""
        return {path.parent.name: _size(path) for path in self.content.glob("ingest/*/data")}

    def received_bytes(self) -> int:
        """Bytes in its content store, those of unfinished downloads included."""
        committed = sum(_size(path) for path in self.content.glob("blobs/sha256/*"))
        return committed + sum(self.downloads().values())

    def _digest_on_disk(self, digest: Digest) -> Digest | None:
        try:
            with (self.content / "blobs/sha256" / digest.hex).open("rb") as file:
                return Digest.parse("sha256:" + hashlib.file_digest(file, "sha256").hexdigest())
        except FileNotFoundError:
            return None


def _fetched(version: str, suite: str) -> Build:
    folder = CHECKOUT / ".cache" / f"containerd-{version}"
    run(["sh", str(CHECKOUT / "tests/cluster/fetch-containerd.sh"), suite, str(folder)], 120)
    return Build(version, folder / "usr/bin")


def _size(path: Path) -> int:
    """A file's size in bytes; 0 when it was committed or deleted just now."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _snapshotter(folder: Path) -> str:
    """`overlayfs` where this folder's file system can be the upper one, else `native`."""
    trial = folder / "overlay-trial"
    for name in "lower", "upper", "work", "merged":
        (trial / name).mkdir(parents=True)
    options = f"lowerdir={trial}/lower,upperdir={trial}/upper,workdir={trial}/work"
    mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(trial / "merged")]
    try:
        run(["unshare", "--mount", "--propagation", "private", *mount])
    except CommandFailed:
        return "native"
    else:
        return "overlayfs"
    finally:
        shutil.rmtree(trial)
