from __future__ import annotations

from mirror.oci.digest import Digest
from mirror.store.hints import CAPACITY, LIFETIME, Hints

A = Digest.of(b"a")


def test_hint_holds_for_its_lifetime() -> None:
    hints = Hints()
    hints.put(A, "reg.test:5000", now=100.0)
    assert hints.get(A, 100.0 + LIFETIME - 1) == "reg.test"
    assert hints.get(A, 100.0 + LIFETIME) is None


def test_repeated_hint_is_renewed() -> None:
    hints = Hints()
    hints.put(A, "docker.io", now=0.0)
    hints.put(A, "ghcr.io", now=LIFETIME)
    assert hints.get(A, LIFETIME + 1) == "ghcr.io"
    assert len(hints) == 1


def test_used_hint_is_gone() -> None:
    hints = Hints()
    hints.put(A, "docker.io", now=0.0)
    hints.discard(A)
    hints.discard(A)
    assert hints.get(A, 0.0) is None


def test_oldest_hints_make_room() -> None:
    hints = Hints()
    digests = [Digest.of(b"%d" % number) for number in range(CAPACITY + 10)]
    for digest in digests:
        hints.put(digest, "docker.io", now=0.0)
    assert len(hints) == CAPACITY
    assert hints.get(digests[9], 0.0) is None
    assert hints.get(digests[10], 0.0) == "docker.io"
