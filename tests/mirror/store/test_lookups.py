from __future__ import annotations

from mirror.oci.digest import Digest
from mirror.store.lookups import DELAYS, Lookups

A, B = Digest.of(b"a"), Digest.of(b"b")


def test_new_digest_is_due_at_once() -> None:
    lookups = Lookups()
    lookups.add(A, now=5.0)
    assert lookups.next_at() == 5.0
    assert lookups.due(4.9, 10) == []
    assert lookups.due(5.0, 10) == [A]
    assert lookups.due(5.0, 10) == []
    assert A in lookups


def test_delays_are_used_up_and_end() -> None:
    lookups = Lookups()
    now = 0.0
    lookups.add(A, now)
    looks = 0
    while lookups.due(now, 1):
        looks += 1
        if not lookups.again(A, now):
            break
        next_at = lookups.next_at()
        assert next_at is not None
        now = next_at
    assert looks == len(DELAYS) + 1
    assert now == sum(DELAYS)
    assert A not in lookups
    assert lookups.next_at() is None


def test_deleted_digest_is_not_asked_about() -> None:
    lookups = Lookups()
    lookups.add(A, now=0.0)
    lookups.add(B, now=0.0)
    lookups.discard(A)
    assert lookups.due(1.0, 10) == [B]


def test_digest_deleted_during_its_look_does_not_come_back() -> None:
    lookups = Lookups()
    lookups.add(A, now=0.0)
    assert lookups.due(0.0, 1) == [A]
    lookups.discard(A)
    assert lookups.again(A, now=0.0)
    assert lookups.due(100.0, 10) == []


def test_limit_leaves_the_rest_for_next_time() -> None:
    lookups = Lookups()
    lookups.add(A, now=0.0)
    lookups.add(B, now=0.1)
    assert lookups.due(1.0, 1) == [A]
    assert lookups.due(1.0, 1) == [B]


def test_committed_again_starts_anew() -> None:
    lookups = Lookups()
    lookups.add(A, now=0.0)
    lookups.due(0.0, 1)
    for _ in DELAYS:
        assert lookups.again(A, now=0.0)
    lookups.add(A, now=1.0)
    assert lookups.due(1.0, 10) == [A]
    assert lookups.again(A, now=1.0)
