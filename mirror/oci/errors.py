"""The error codes of the distribution specification, one class each.

Raise one anywhere below the registry's handlers: a single middleware writes it out. These are
the *asker's* errors; a blob that is not here is `mirror.errors.NotHere`, and a peer that
misbehaves never shows up here at all.
"""

from __future__ import annotations

import json
from typing import ClassVar


class OciError(Exception):
    """An error that the client is told, as `{"errors": [{"code", "message", "detail"}]}`.

    Attributes:
        code: The specification's code.
        status: The HTTP status it goes out with.
        headers: Extra response headers.
    """

    code: ClassVar[str] = "UNKNOWN"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers = headers or {}

    def body(self) -> bytes:
        """The JSON document of the specification."""
        return json.dumps({"errors": [{"code": self.code, "message": str(self)}]}).encode()


class BlobUnknown(OciError):
    """No such blob here, nor at any peer asked."""

    code = "BLOB_UNKNOWN"
    status = 404


class ManifestUnknown(OciError):
    """No such manifest here, nor at any peer asked."""

    code = "MANIFEST_UNKNOWN"
    status = 404


class NameUnknown(OciError):
    """The registry of the request is not mirrored here, or the path is nothing of ours."""

    code = "NAME_UNKNOWN"
    status = 404


class NameInvalid(OciError):
    """The repository, tag or registry of the request is malformed."""

    code = "NAME_INVALID"
    status = 400


class DigestInvalid(OciError):
    """The digest of the request is malformed."""

    code = "DIGEST_INVALID"
    status = 400


class RangeNotSatisfiable(OciError):
    """The asked range lies outside the content."""

    code = "RANGE_INVALID"
    status = 416


class RangeMalformed(OciError):
    """The `Range` header is not one range of bytes."""

    code = "RANGE_INVALID"
    status = 400


class Unauthorized(OciError):
    """The caller showed no certificate or credentials."""

    code = "UNAUTHORIZED"
    status = 401


class Denied(OciError):
    """The caller is known and may not have this."""

    code = "DENIED"
    status = 403


class Unsupported(OciError):
    """The method is not part of the pull API."""

    code = "UNSUPPORTED"
    status = 405


class TooManyRequests(OciError):
    """This node is busy; the caller may come back or go elsewhere."""

    code = "TOOMANYREQUESTS"
    status = 503
