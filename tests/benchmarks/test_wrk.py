import pytest

from benchmarks.client import Untrue
from benchmarks.wrk import rate_in

GOOD = "  1000 requests in 1.00s, 1.00MB read\nRequests/sec:  12345.67\nTransfer/sec:  1.00MB\n"


def test_the_rate_is_found() -> None:
    assert rate_in(GOOD) == 12345.67


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "unable to connect",
        "  Non-2xx or 3xx responses: 3\n" + GOOD,
        "  Socket errors: connect 0, read 5, write 0, timeout 0\n" + GOOD,
    ],
)
def test_a_rate_of_failures_is_no_rate(printed: str) -> None:
    with pytest.raises(Untrue):
        rate_in(printed)
