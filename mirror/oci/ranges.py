"""Byte ranges: what a `Range` header asks for, and what `Content-Range` says came."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mirror.oci.errors import RangeMalformed, RangeNotSatisfiable

_MAX_HEADER = 200
_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` up to, not including, `stop`."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """Bytes in it."""
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """The `Content-Range` value of an answer with this span of `size` bytes."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """One range as asked, before the size of the content is known.

    Attributes:
        first: Offset of the first byte; None asks for the last `last` bytes instead.
        last: Offset of the last byte, inclusive; None asks for all to the end.
    """

    first: int | None
    last: int | None

    def resolve(self, size: int) -> Span:
        """The bytes this means in content of `size` bytes.

        Raises:
            RangeNotSatisfiable: It lies wholly outside (416 with the size).
        """
        if self.first is None:
            span = Span(max(0, size - (self.last or 0)), size)
        else:
            span = Span(self.first, size if self.last is None else min(self.last + 1, size))
        if span.length <= 0:
            raise RangeNotSatisfiable(
                f"range lies outside the content of {size} bytes",
                headers={"Content-Range": f"bytes */{size}"},
            )
        return span


def parse_range(header: str | None) -> RangeRequest | None:
    """Reads a `Range` header; None when all bytes are wanted.

    Units other than bytes are ignored, as RFC 9110 asks. Several ranges are refused with 400:
    the stock stargz snapshotter then falls back to single ranges (measured with v0.18.2).

    Raises:
        RangeMalformed: It is not one range of bytes.
    """
    if header is None or not header.startswith("bytes"):
        return None
    match = _RANGE.fullmatch(header.replace(" ", "")) if len(header) <= _MAX_HEADER else None
    if match is None:
        raise RangeMalformed(f"malformed range {header[:_MAX_HEADER]!r}: expected bytes=FIRST-LAST")
    first, last, suffix = match.groups()
    if suffix is not None:
        return RangeRequest(None, int(suffix))
    request = RangeRequest(int(first), int(last) if last else None)
    if request.last is not None and request.last < int(first):
        raise RangeMalformed(f"malformed range {header!r}: it ends before it starts")
    return request


def parse_content_range(header: str) -> tuple[Span, int]:
    """Reads `bytes a-b/size`.

    Raises:
        ValueError: It is anything else; a peer that sends it is broken.
    """
    match = _CONTENT_RANGE.fullmatch(header)
    if match is None:
        raise ValueError(f"malformed Content-Range {header[:_MAX_HEADER]!r}")
    first, last, size = (int(group) for group in match.groups())
    if not first <= last < size:
        raise ValueError(f"impossible Content-Range {header!r}")
    return Span(first, last + 1), size
