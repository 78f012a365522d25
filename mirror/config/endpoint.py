"""Where an image can be fetched from, what it is called there, and who asks."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path

DOCKER_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
"""Three names of one registry: what users write, what K3s's documents write, where it answers."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A rule that renames repositories at an endpoint, in Go's syntax: `^library/(.*)` → `x/$1`."""

    pattern: re.Pattern[str]
    replacement: str

    def apply(self, repository: str) -> str:
        """Replaces every match, as Go's `ReplaceAllString` does."""
        end = -1

        def replace(match: re.Match[str]) -> str:
            nonlocal end
            if match.start() == match.end() == end:
                return ""  # Go passes over an empty match right after another, Python does not
            end = match.end()
            return _GROUP.sub(lambda reference: _value(reference, match), self.replacement)

        return self.pattern.sub(replace, repository)

    @property
    def prefix(self) -> str | None:
        """`x/` for a rule that puts `x/` before every name and does nothing else, else None."""
        everything = self.pattern.pattern.removeprefix("^").removesuffix("$")
        if everything not in ("(.*)", "(.+)"):
            return None
        for group in ("$1", "${1}"):
            before = self.replacement.removesuffix(group)
            if before != self.replacement and "$" not in before and before.endswith("/"):
                return before
        return None


# Go takes the longest name: $1x is the group called "1x", not group 1 and an x.
_GROUP = re.compile(r"\$(?:\$|\{(?P<braced>[A-Za-z0-9_]{1,64})\}|(?P<plain>[A-Za-z0-9_]{1,64}))")


def _value(reference: re.Match[str], match: re.Match[str]) -> str:
    """What a reference in a replacement stands for."""
    if reference[0] == "$$":
        return "$"
    name = reference["braced"] or reference["plain"]
    try:
        return match[int(name) if name.isdigit() else name] or ""
    except IndexError:  # Go puts nothing in the place of a group that is not there
        return ""


@dataclass(frozen=True, slots=True)
class Auth:
    """Credentials of one registry; an empty text is none.

    Attributes:
        username: For basic authentication and for asking a token service.
        password: Its password.
        identity_token: OAuth2 refresh token, used in place of both at a token service.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str | None:
        """The value of an Authorization header, or None when only an identity token is there."""
        if not self.username and not self.password:
            return None
        pair = f"{self.username}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()


@dataclass(frozen=True, slots=True)
class Tls:
    """How a registry's certificate is checked, and which one is shown to it.

    Attributes:
        ca: CA that is trusted beside the system's.
        cert: Client certificate.
        key: Its private key; set if and only if `cert` is.
        skip_verify: The registry's certificate is not checked at all.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place to ask for the images of a registry.

    Attributes:
        url: API root without a slash at the end: `<url>/<repository>/manifests/<tag>`.
        override_path: The root's path is not `/v2`, which containerd must be told.
        rewrites: Tried in order; the first that changes the name is the only one used.
        auth: Credentials, or None for anonymous.
        tls: TLS settings, or None for the system's.
        default: It is the registry's own address, not one from the list.
        dial_timeout: How long containerd waits for a connection, in Go's notation; None: 30 s.
    """

    url: str
    override_path: bool = False
    rewrites: tuple[Rewrite, ...] = ()
    auth: Auth | None = None
    tls: Tls | None = None
    default: bool = False
    dial_timeout: str | None = None

    def repository(self, name: str) -> str:
        """What the repository `name` is called here."""
        for rewrite in self.rewrites:
            changed = rewrite.apply(name)
            if changed != name:
                return changed
        return name


@dataclass(frozen=True, slots=True)
class Address:
    """A registry's or endpoint's address, normalised as containerd and K3s do."""

    scheme: str
    host: str
    path: str

    @property
    def url(self) -> str:
        """The API root."""
        return f"{self.scheme}://{self.host}{self.path}"

    @property
    def override_path(self) -> bool:
        """Whether the root is anywhere else than at `/v2`."""
        return self.path != "/v2"


_ADDRESS = re.compile(
    r"(?:(?P<scheme>https?)://)?"
    r"(?P<host>(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?"
)


def parse_address(text: str) -> Address:
    """Reads `registry.example:5000/prefix/v2`, with or without a scheme.

    Without one it is https, but http for this machine on an odd port. A path of nothing, `/`
    or `/v2` is `/v2`; any other is the API root as it stands.

    Raises:
        ValueError: It is no such address.
    """
    match = _ADDRESS.fullmatch(text) if len(text) <= 2048 else None
    if match is None:
        raise ValueError("an address such as https://registry.example:5000")
    host, port = match["host"], split_port(match["host"])[1]
    odd = port not in ("", "443")
    scheme = match["scheme"] or ("http" if is_localhost(host) and odd else "https")
    path = (match["path"] or "").rstrip("/")
    return Address(scheme, "registry-1.docker.io" if host in DOCKER_HOSTS else host, path or "/v2")


def split_port(host: str) -> tuple[str, str]:
    """`registry.example:5000` → `registry.example`, `5000`; the port may be empty.

    An IPv6 address has a port only behind brackets; labels of containerd have it without them.
    """
    name, colon, port = host.rpartition(":")
    if not colon or port.endswith("]") or (":" in name and not name.endswith("]")):
        return host, ""
    return name, port


def is_localhost(host: str) -> bool:
    """Whether containerd takes a host, with or without port, for this machine."""
    name = split_port(host)[0].strip("[]")
    return name in ("localhost", "::1") or name.startswith("127.")
