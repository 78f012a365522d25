"""The two failures that cross packages; all others stand beside their cause."""

from __future__ import annotations


class NotHere(LookupError):
    """The content is not held here: nobody's fault, and the normal end of most searches."""


class SetupError(Exception):
    """This node cannot run as it is set up.

    The message tells what is wrong, with which value, and what to do; it is shown as it is.
    """
