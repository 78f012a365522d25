from __future__ import annotations

import pytest

from p2p.kad.ids import place_of
from p2p.kad.table import Contact
from p2p.status import status_of
from tests.p2p.kad.network import address_of


@pytest.mark.parametrize(
    ("failures", "slow", "state"), [(0, False, "up"), (0, True, "slow"), (2, False, "down")]
)
def test_a_contact_shows_how_it_is(failures, slow, state):
    address = address_of(1)
    contact = Contact(address, place_of(address.peer), "agent", ours=True, failures=failures)
    contact.slow = slow
    status = status_of(contact)
    assert (status.state, status.agent, status.is_ours) == (state, "agent", True)
    assert status.addresses == ("10.0.0.2",)
    assert status.latency is None
