"""The client of all measurements: curl, the same for every server."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from benchmarks.scale import MIB
from mirror.oci.digest import Digest
from tests.cluster.netns import CommandFailed, Namespace
from tests.cluster.spegla import Tls

_SECONDS = 60


class Untrue(Exception):
    """A server sent something else than what was asked for: the figure would be a lie."""


@dataclass(frozen=True, slots=True)
class Client:
    """Asks from one namespace.

    Attributes:
        space: Where it runs.
        tls: Its certificate, and the CA that it trusts; None for plain HTTP.
        headers: Sent with each request.
    """

    space: Namespace
    tls: Tls | None = None
    headers: tuple[str, ...] = ()

    def url(self, host: str, port: int, path: str) -> str:
        """Of `path` at a server."""
        return f"{'https' if self.tls else 'http'}://{host}:{port}{path}"

    def get(self, url: str, size: int) -> float:
        """Fetches `size` bytes on a new connection and drops them; returns the seconds.

        Raises:
            Untrue: It was an error, or had another size.
            CommandFailed: There was no answer.
        """
        [seconds] = self.get_each([url], HTTPStatus.OK, size)
        return seconds

    def get_each(
        self, urls: Sequence[str], status: HTTPStatus, size: int | None = None
    ) -> list[float]:
        """Fetches one after the other on one connection; returns the seconds of each.

        Raises:
            Untrue: An answer had another status or size, or the connection was not kept.
            CommandFailed: There was no answer.
        """
        words = self.command(
            "--write-out", "%{http_code} %{size_download} %{time_total} %{num_connects}\\n"
        )
        for url in urls:
            words += ["--output", "/dev/null", url]
        found = []
        for number, line in enumerate(self.space.run(words, _SECONDS).splitlines()):
            code, received, seconds, connects = line.split()
            if int(code) != status or size not in (None, int(received)):
                raise Untrue(f"{urls[number]}: {code} with {received} bytes, expected {size}")
            if number and int(connects):
                raise Untrue(f"{urls[number]}: the connection was not kept")
            found.append(float(seconds))
        return found

    def check(self, url: str, digest: Digest) -> None:
        """Fetches a body and hashes it.

        Raises:
            Untrue: It is something else than `digest`.
        """
        argv = self.space.command(self.command("--fail", url))
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as curl:
            hashed = hashlib.sha256()
            while curl.stdout and (chunk := curl.stdout.read(MIB)):
                hashed.update(chunk)
        if curl.returncode or hashed.hexdigest() != digest.hex:
            raise Untrue(f"{url}: sha256:{hashed.hexdigest()}, curl ended with {curl.returncode}")

    def answers(self, url: str) -> bool:
        """Whether it is served without an error, by what HEAD says."""
        try:
            self.space.run(self.command("--head", "--fail", "--output", "/dev/null", url))
        except CommandFailed:
            return False
        return True

    def slow(self, url: str, bytes_per_second: int) -> subprocess.Popen[bytes]:
        """Starts to read a body slowly; the caller ends it."""
        words = self.command("--limit-rate", str(bytes_per_second), "--output", "/dev/null", url)
        return subprocess.Popen(self.space.command(words))

    def command(self, *options: str) -> list[str]:
        """The command line of a curl with these options."""
        words = ["curl", "-sS", "--max-time", str(_SECONDS), "--noproxy", "*", *options]
        for header in self.headers:
            words += ["--header", header]
        if self.tls:
            tls = self.tls
            words += ["--cacert", str(tls.ca), "--cert", str(tls.cert), "--key", str(tls.key)]
        return words
