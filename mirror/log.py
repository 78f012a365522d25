"""Logging as K3s does it: logfmt lines on stderr, in the format of logrus.

    time="2026-11-23T10:00:00Z" level=info msg="Starting distributed registry mirror" peers=3

Code logs through `logging.getLogger("spegla.<area>")`; fields come from `extra={"peers": 3}`.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from typing import TextIO

# What every record has; all else on it came from `extra`.
_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {
    "message",
    "asctime",
    "taskName",
}
_LEVELS = {"CRITICAL": "fatal"}
_BARE = re.compile(r"[A-Za-z0-9\-._/@^+]*")  # logrus quotes everything else
_LINE_LIMIT = 8192
_SECRETS = (
    (re.compile(r"(?i)\b(basic|bearer)\s+[A-Za-z0-9+/=._~-]{6,}"), r"\1 ***"),
    (re.compile(r"://[^/\s@\"]+@"), "://***@"),
    (re.compile(r"\bK10[0-9a-f]{8,}::\S+"), "***"),  # a K3s join token
)


class LogfmtFormatter(logging.Formatter):
    """One record, one line; credentials that got into a text are blanked out."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without a line break anywhere."""
        fields: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": _LEVELS.get(record.levelname, record.levelname.lower()),
            "msg": record.getMessage(),
        }
        # logrus sorts them, and so lines of one kind can be compared by eye.
        fields |= {
            name: value for name, value in sorted(vars(record).items()) if name not in _STANDARD
        }
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            fields["error"] = f"{type(error).__name__}: {error}"
            fields["stack"] = self.formatException(record.exc_info)
        return " ".join(f"{_name(name)}={_value(value)}" for name, value in fields.items())


def setup(debug: bool, stream: TextIO | None = None) -> None:
    """Sends all logging of this process to stderr; may be called again to change the level.

    Args:
        debug: Also the debug lines of our own code.
        stream: In place of stderr.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(LogfmtFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("spegla").setLevel(logging.DEBUG if debug else logging.INFO)
    logging.captureWarnings(capture=True)
    # gRPC's core writes to stderr by itself; what matters arrives as an error of the call.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def _name(name: str) -> str:
    return re.sub(r"[\s=\"\x00-\x1f\x7f]", "_", name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, float):
        text = f"{value:.6g}"
    else:
        text = str(value)
    text = text[:_LINE_LIMIT]
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text if _BARE.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    """As Go's `%q`."""
    return '"' + "".join(_ESCAPES.get(letter) or _printable(letter) for letter in text) + '"'


def _printable(letter: str) -> str:
    if letter.isprintable():
        return letter
    code = ord(letter)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}
