import subprocess
import sys

REPORT = """
import sys
{before}
import p2p.wire.host
import libp2p.stream_muxer.yamux.yamux
heavy = [name for name in ("aioquic", "zeroconf", "coincurve", "fastecdsa") if name in sys.modules]
rss = int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
print(len(heavy), round(rss), "libp2p.network.swarm" in sys.modules)
"""

EXCHANGE = """
import asyncio, pathlib, sys, tempfile
{before}
import trio
from p2p.settings import Settings
from p2p.wire.host import open_host

async def echo(_peer, message):
    return message

async def main():
    folder = pathlib.Path(tempfile.mkdtemp())
    one = Settings(folder / "one", port=0, listen=("127.0.0.1",), psk=b"k" * 32)
    two = Settings(folder / "two", port=0, listen=("127.0.0.1",), psk=b"k" * 32)
    async with open_host(one) as first, open_host(two) as second:
        second.handle("/e", echo)
        await second.listen()
        stranger = await trio.open_tcp_stream("127.0.0.1", second.port)
        await stranger.send_all(bytes(100))
        await stranger.aclose()
        print((await first.request(second.local, "/e", b"works", 20)).decode())

trio.run(main)
"""


OTHER_VERSION = """
import importlib.metadata
real = importlib.metadata.version
importlib.metadata.version = lambda name: "0.9.0" if name == "libp2p" else real(name)
"""

BROKEN_DIET = """
import importlib
real_import = importlib.import_module
def broken(name, package=None):
    if name == "libp2p.security.noise.transport":
        importlib.import_module = real_import
        raise ImportError("moved")
    return real_import(name, package)
importlib.import_module = broken
"""


def run(script, before=""):
    done = subprocess.run(
        [sys.executable, "-c", script.format(before=before)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    others = [line for line in done.stderr.splitlines() if "the same pre-shared key" not in line]
    return done.stdout.split(), others


def test_only_what_is_used_is_imported():
    (heavy, rss, swarm), stderr = run(REPORT)
    assert (heavy, swarm) == ("0", "False")
    assert int(rss) < 70
    assert not stderr


def test_host_works_on_the_diet():
    assert run(EXCHANGE) == (["works"], [])


def test_host_works_with_the_whole_library_when_the_slim_import_fails():
    (answer,), stderr = run(EXCHANGE, BROKEN_DIET)
    assert answer == "works"
    assert "slim import of libp2p failed" in stderr[0]


def test_host_works_with_another_version_and_says_so():
    (answer,), stderr = run(EXCHANGE, OTHER_VERSION)
    assert answer == "works"
    assert stderr == ["importing all of libp2p 0.9.0, without our fixes to it if it is not 0.8.1"]


def test_library_that_is_loaded_already_is_left_alone():
    assert run(EXCHANGE, "import libp2p; assert libp2p.new_host")[0] == ["works"]
