import ipaddress

from p2p.settings import Limits
from p2p.wire.admission import Admission

ONE, OTHER = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")


def test_silent_connections_take_half_the_share_of_their_address_only():
    admission = Admission(Limits(connections=100, connections_per_address=8))
    assert [admission.begin(ONE) for _ in range(300)].count(True) == 4
    assert admission.begin(OTHER)


def test_share_of_an_address_counts_finished_handshakes_too():
    admission = Admission(Limits(connections=100, connections_per_address=4))
    for _ in range(4):
        assert admission.begin(ONE)
        admission.shaken(ONE)
    assert not admission.begin(ONE)
    admission.end(ONE)
    assert admission.begin(ONE)


def test_all_places_taken_refuses_everybody():
    admission = Admission(Limits(connections=1, connections_per_address=4))
    assert admission.begin(ONE)
    assert not admission.begin(OTHER)


def test_nothing_is_kept_of_addresses_that_left():
    admission = Admission(Limits())
    admission.begin(ONE)
    admission.shaken(ONE)
    admission.end(ONE)
    assert admission == Admission(Limits())
