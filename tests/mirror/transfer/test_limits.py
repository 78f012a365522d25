from __future__ import annotations

from mirror.transfer.limits import Limits


def test_peers_that_stall_after_others_did_get_less_time() -> None:
    limits = Limits()
    assert limits.hurried(0) == (limits.search, limits.stall)
    stalls = [limits.hurried(count)[1] for count in range(10)]
    assert stalls == sorted(stalls, reverse=True)
    assert sum(stalls) < 1.5 * limits.stall
    assert limits.hurried(1_000_000)[1] > 0
