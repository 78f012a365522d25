import ipaddress

import pytest
import trio
import trio.testing

from p2p.port import PeerUnreachable
from p2p.wire.address import Endpoint
from p2p.wire.dialer import dial_first

ENDS = [Endpoint(ipaddress.ip_address(f"10.0.0.{i}"), 5001) for i in range(1, 12)]


def run(delays, failing=()):
    """Dials endpoints that answer after `delays` seconds; returns winner, time, discarded."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    discarded, started = [], []

    async def dial(endpoint):
        started.append(endpoint)
        index = ENDS.index(endpoint)
        await trio.sleep(delays[index])
        if index in failing:
            raise PeerUnreachable("refused")
        return index

    async def main():
        begin = trio.current_time()
        result = await dial_first(ENDS[: len(delays)], dial, discarded.append)
        return result, trio.current_time() - begin, started

    return trio.run(main, clock=clock)


def test_second_address_starts_a_tenth_of_a_second_later():
    winner, took, _ = run([5.0, 0.05])
    assert winner == 1
    assert took == pytest.approx(0.15)


def test_failure_starts_the_next_at_once():
    winner, took, _ = run([0.01, 0.02], failing={0})
    assert winner == 1
    assert took == pytest.approx(0.03)


def test_quick_first_spares_the_others():
    assert run([0.05, 0.0, 0.0])[2] == ENDS[:1]


def test_all_failing_names_each_cause():
    with pytest.raises(PeerUnreachable, match=r"10\.0\.0\.1:5001: refused; 10\.0\.0\.2:5001"):
        run([0, 0], failing={0, 1})


def test_no_address_is_unreachable():
    with pytest.raises(PeerUnreachable, match="no address"):
        run([])


def test_only_eight_addresses_are_tried():
    with pytest.raises(PeerUnreachable) as caught:
        run([0] * 11, failing=set(range(11)))
    assert str(caught.value).count("refused") == 8
