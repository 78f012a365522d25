"""How an upstream registry fails us, told without secrets."""

from __future__ import annotations

from yarl import URL


class UpstreamError(Exception):
    """An upstream registry gave no usable answer, although it may hold the content.

    The message names the URL without credentials and query, since both may carry secrets.
    """


def shown(url: URL | str) -> str:
    """A URL as it may be logged."""
    try:
        return str(URL(url).with_user(None).with_query(None).with_fragment(None))
    except ValueError:
        return "a malformed URL"
