"""Waiting for something, always with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(what: str, holds: Callable[[], bool], timeout: float = 10.0) -> float:
    """Waits until `holds()` is true, asking every 20 ms.

    Args:
        what: What is waited for, for the error.
        holds: The question; must return at once.
        timeout: Seconds.

    Returns:
        The seconds it took.

    Raises:
        TimeoutError: It did not become true in time.
    """
    start = time.monotonic()
    while not holds():
        if time.monotonic() - start > timeout:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(0.02)
    return time.monotonic() - start
