import ipaddress

from p2p.wire.suspects import MAX_SUSPECTS, PERSIST_SECONDS, Suspects

ONE = ipaddress.ip_address("10.0.0.1")


def test_an_address_is_named_once_when_its_failures_go_on():
    suspects = Suspects()
    failures = [suspects.failed(ONE, second) for second in (0, 1, PERSIST_SECONDS, 60, 600)]
    assert failures == [False, False, True, False, False]


def test_a_node_that_restarts_is_not_named():
    suspects = Suspects()
    for restart in range(5):
        assert not suspects.failed(ONE, 100.0 * restart)
        suspects.cleared(ONE)


def test_what_is_remembered_is_bounded():
    suspects = Suspects()
    for number in range(3 * MAX_SUSPECTS):
        suspects.failed(ipaddress.ip_address(number), 0.0)
    assert len(suspects._since) <= MAX_SUSPECTS
