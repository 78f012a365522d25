"""TOML values as text; Python reads TOML and does not write it."""

from __future__ import annotations

from collections.abc import Iterable

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def string(text: object) -> str:
    """A basic string."""
    return '"' + "".join(_ESCAPES.get(letter) or _escaped(letter) for letter in str(text)) + '"'


def array(items: Iterable[object]) -> str:
    """An array of strings."""
    return "[" + ", ".join(string(item) for item in items) + "]"


def _escaped(letter: str) -> str:
    return f"\\u{ord(letter):04X}" if ord(letter) < 0x20 or ord(letter) == 0x7F else letter
