"""The host on sockets does what every host must, over both families, with and without a key."""

import pytest

from tests.p2p.conformance import check_host


@pytest.mark.parametrize("psk", [None, b"k" * 32], ids=["open", "psk"])
@pytest.mark.parametrize("listen", ["127.0.0.1", "::1"])
def test_host_conforms(run_trio, new_host, listen, psk):
    async def main():
        await check_host(lambda: new_host(listening=False, listen=(listen,), psk=psk))

    run_trio(main)
