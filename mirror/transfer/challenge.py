"""`WWW-Authenticate` as registries write it (RFC 9110 §11.6.1, Docker's token specification)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_MAX_LENGTH = 8192
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a grammar rule, not a secret
_PART = re.compile(
    rf"[\s,]*(?:(?P<key>{_TOKEN})\s*=\s*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<plain>[^\s,\"]+))"
    rf"|(?P<scheme>{_TOKEN})(?=[\s,]|$))"
)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate.

    Attributes:
        scheme: In lower case, such as `bearer` or `basic`.
        parameters: By name in lower case.
    """

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Reads the values of all `WWW-Authenticate` headers, as far as they make sense."""
    found: list[Challenge] = []
    for header in headers:
        parameters: dict[str, str] | None = None
        position, text = 0, header[:_MAX_LENGTH]
        while match := _PART.match(text, position):
            position = match.end()
            if match["scheme"] is not None:
                parameters = {}
                found.append(Challenge(match["scheme"].lower(), parameters))
            elif parameters is not None:
                value = match["plain"]
                if value is None:
                    value = re.sub(r"\\(.)", r"\1", match["quoted"])
                parameters.setdefault(match["key"].lower(), value)
    return tuple(found)
