"""The head of a peer's HTTP response, parsed under limits."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HEAD_BYTES = 16 * 1024

_STATUS_LINE = re.compile(r"(HTTP/1\.[01]) ([2-5][0-9]{2})(?: |\Z)")


class MalformedResponse(ValueError):
    """The peer does not speak HTTP/1.1 as the registry API demands."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """Status and headers.

    Attributes:
        status: HTTP status.
        headers: Lower-case names; the last of repeated ones.
        keep_alive: Whether the connection may carry another request.
    """

    status: int
    headers: dict[str, str]
    keep_alive: bool

    @property
    def content_length(self) -> int:
        """Bytes of the body.

        Raises:
            MalformedResponse: Missing (chunked answers are refused, as Go Spegel refuses them)
                or not a number.
        """
        text = self.headers.get("content-length", "")
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise MalformedResponse(f"Content-Length is {text[:40]!r}, expected a number of bytes")
        if "transfer-encoding" in self.headers or "content-encoding" in self.headers:
            raise MalformedResponse("body is encoded, expected plain bytes")
        return int(text)


def parse_head(head: bytes) -> ResponseHead:
    """Parses everything before the blank line.

    Raises:
        MalformedResponse: It is no final HTTP/1.x response head; interim ones are never asked for.
    """
    status_line, *lines = head.decode("latin-1").split("\r\n")
    match = _STATUS_LINE.match(status_line)
    if match is None:
        raise MalformedResponse(f"status line is {status_line[:80]!r}")
    version, code = match.groups()
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedResponse(f"header line is {line[:80]!r}")
        headers[name.strip().lower()] = value.strip()
    closing = headers.get("connection", "").lower() == "close" or version == "HTTP/1.0"
    return ResponseHead(int(code), headers, keep_alive=not closing)
