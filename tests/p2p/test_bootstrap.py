"""Bootstrapping real hosts on loopback from every kind of source."""

import http.server
import ipaddress
import json
import logging
import threading
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio

from p2p.bootstrap import PEER_STORE_FILE, Bootstrapper
from p2p.port import PeerAddress
from p2p.settings import Settings
from p2p.wire.address import Endpoint, show_peer, unpack
from p2p.wire.host import open_host
from p2p.wire.identity import IDENTITY_FILE
from p2p.wire.keys import new_key_pem

PEM = new_key_pem()
STRANGER = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"


def run(main):
    async def bounded():
        with trio.fail_after(60):
            await main()

    trio.run(bounded)


@asynccontextmanager
async def node(folder, *sources, listen="127.0.0.1", port=0, psk=None):
    """A listening host and its bootstrapper."""
    settings = Settings(folder, port=port, listen=(listen,), psk=psk, bootstrap=sources)
    async with open_host(settings) as host:
        await host.listen()
        yield host, Bootstrapper(settings, host)


def text(host, *, peer=True, port=True):
    end = unpack(host.local.addresses[0])
    found = f"/ip{end.ip.version}/{end.ip}" + (f"/tcp/{end.port}" if port else "")
    return f"{found}/p2p/{show_peer(host.local.peer)}" if peer else found


@contextmanager
def serving(document):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("listen", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("psk", [None, b"k" * 32], ids=["open", "psk"])
@pytest.mark.parametrize("peer", [True, False], ids=["id", "bare"])
def test_multiaddr_finds_its_peer(tmp_path, listen, psk, peer):
    async def main():
        async with node(tmp_path / "a", listen=listen, psk=psk) as (first, alone):
            assert await alone.peers() == []
            assert alone.first
            source = text(first, peer=peer)
            async with node(tmp_path / "b", source, listen=listen, psk=psk) as (_, second):
                assert await second.peers() == [first.local]
                assert not second.first

    run(main)


def test_address_without_port_means_the_own_p2p_port(tmp_path):
    async def main():
        async with node(tmp_path / "a", listen="127.0.0.1") as (first, _):
            source = text(first, peer=False, port=False)
            async with node(tmp_path / "b", source, listen="127.0.0.2", port=first.port) as (
                _,
                second,
            ):
                assert await second.peers() == [first.local]

    run(main)


def test_stale_id_is_replaced_by_the_one_that_answers(tmp_path, caplog):
    async def main():
        async with node(tmp_path / "a") as (first, _):
            source = f"{text(first, peer=False)}/p2p/{STRANGER}"
            async with node(tmp_path / "b", source) as (_, second):
                assert await second.peers() == [first.local]

    with caplog.at_level(logging.INFO):
        run(main)
    assert "no longer the id given" in caplog.text


def test_name_is_resolved_and_dialled_on_the_own_port(tmp_path):
    async def main():
        async with (
            node(tmp_path / "a", listen="127.0.0.1") as (first, _),
            node(tmp_path / "b", "dns:localhost", listen="127.0.0.2", port=first.port) as (_, two),
        ):
            assert await two.peers() == [first.local]

    run(main)


@pytest.mark.parametrize("form", ["k3s", "spegel", "spegel without id"])
def test_http_lists_are_dialled(tmp_path, form):
    async def main():
        async with node(tmp_path / "a") as (first, _):
            peer = show_peer(first.local.peer)
            document = {
                "k3s": [text(first)],
                "spegel": [{"ID": peer, "Addrs": [text(first, peer=False)]}],
                "spegel without id": [{"Addrs": [text(first, peer=False)]}],
            }[form]
            with serving(document) as url:
                async with node(tmp_path / "b", url) as (_, second):
                    assert await second.peers() == [first.local]

    run(main)


def test_sources_are_asked_at_once_and_one_that_answers_suffices(tmp_path, caplog):
    async def main():
        async with node(tmp_path / "a") as (first, _):
            sources = ("dns:no-such-name.invalid", "/ip4/127.0.0.1/tcp/1", text(first))
            async with node(tmp_path / "b", *sources) as (_, second):
                assert await second.peers() == [first.local]
                assert not second.first

    run(main)
    assert "no peer answered" not in caplog.text


def test_node_named_by_its_own_sources_is_the_first(tmp_path):
    async def main():
        probe = tmp_path / "probe"
        async with node(probe) as (first, _):
            port = first.port
        sources = (f"/ip4/127.0.0.1/tcp/{port}", f"/ip4/127.0.0.1/tcp/{port}/p2p/{STRANGER}")
        async with node(probe, *sources, port=port) as (_, again):
            assert not again.first
            assert await again.peers() == []
            assert again.first

    run(main)


def test_silence_names_sources_and_remedies_once(tmp_path, caplog):
    async def main():
        sources = ("dns:no-such-name.invalid", "/ip4/127.0.0.1/tcp/1")
        async with node(tmp_path / "b", *sources, psk=b"k" * 32) as (_, lonely):
            for _ in range(3):
                assert await lonely.peers() == []
                assert not lonely.first

    run(main)
    (line,) = [line for line in caplog.messages if "no peer answered" in line]
    for part in ("no-such-name.invalid", "127.0.0.1:1", "firewall", "port", "pre-shared key"):
        assert part in line


def test_wrong_key_is_named_as_a_cause(tmp_path, caplog):
    async def main():
        async with (
            node(tmp_path / "a", psk=b"a" * 32) as (first, _),
            node(tmp_path / "b", text(first), psk=b"b" * 32) as (_, second),
        ):
            assert await second.peers() == []

    run(main)
    assert "the same pre-shared key" in caplog.text
    assert "the same pre-shared key" in caplog.text


def test_peers_of_yesterday_are_found_without_any_source(tmp_path):
    async def main():
        async with node(tmp_path / "a") as (first, _):
            async with node(tmp_path / "b", text(first)) as (_, second):
                await second.remember(await second.peers())
            async with node(tmp_path / "b") as (_, again):
                assert await again.peers() == [first.local]

    run(main)


def test_gone_peers_of_yesterday_are_no_reason_to_complain(tmp_path, caplog):
    async def main():
        async with node(tmp_path / "b") as (host, boot):
            end = Endpoint(ipaddress.ip_address("127.0.0.1"), 1)
            await boot.remember([PeerAddress(host.local.peer, (end.pack(),))])
        async with node(tmp_path / "b") as (_, again):
            assert await again.peers() == []
            assert again.first

    run(main)
    assert "no peer answered" not in caplog.text
    assert (tmp_path / "b" / PEER_STORE_FILE).exists()


def test_join_asks_further_sources(tmp_path):
    async def main():
        async with node(tmp_path / "a") as (first, _), node(tmp_path / "b") as (_, second):
            assert await second.join([text(first)]) == [first.local]
            with pytest.raises(ValueError, match="invalid bootstrap source"):
                await second.join(["nonsense"])

    run(main)


def test_source_of_unknown_form_is_refused_at_the_start(tmp_path):
    async def main():
        with pytest.raises(ValueError, match="invalid bootstrap source 'ftp://x'"):
            async with node(tmp_path / "a", "ftp://x"):
                pass

    with pytest.raises((ValueError, ExceptionGroup)):
        run(main)


def test_a_copy_of_this_node_is_named_once(tmp_path, caplog):
    async def main():
        for name in ("one", "copy"):
            (tmp_path / name).mkdir()
            (tmp_path / name / IDENTITY_FILE).write_bytes(PEM)
        async with (
            node(tmp_path / "one") as (one, _),
            node(tmp_path / "copy", text(one, peer=False)) as (_, copy),
        ):
            assert await copy.peers() == []
            assert await copy.peers() == []
        said, *more = [m for m in caplog.messages if "own identity" in m]
        assert IDENTITY_FILE in said
        assert not more

    run(main)
