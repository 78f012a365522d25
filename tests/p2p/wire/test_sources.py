import http.server
import ipaddress
import json
import ssl
import threading
import time
from contextlib import contextmanager, suppress

import pytest
import trio
import trustme
from hypothesis import given
from hypothesis import strategies as st

from p2p.settings import TlsFiles
from p2p.wire import sources as sources_module
from p2p.wire.address import parse_multiaddr, parse_peer_id
from p2p.wire.sources import (
    DnsSource,
    HttpSource,
    SourceFailed,
    StaticSource,
    ask,
    parse_peer_list,
    parse_source,
)

PEER = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"
NO_TLS = TlsFiles()


@contextmanager
def http_server(answer, *, tls=None):
    """Serves `answer(handler)` for each GET on a free port of 127.0.0.1."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self)

        def log_message(self, *_args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def body(data, status=200, seen=None):
    def answer(handler):
        if seen is not None:
            seen.append((handler.path, handler.headers["Accept"]))
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def asked(text, tls=NO_TLS):
    return trio.run(ask, parse_source(text), tls)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (f"/ip4/10.0.0.4/tcp/5001/p2p/{PEER}", None),
        ("/ip6/fd00::1", None),
        ("dns:spegla.kube-system.svc", DnsSource("spegla.kube-system.svc")),
        ("https://10.0.0.4:6443", HttpSource("https://10.0.0.4:6443/v1-k3s/p2p")),
        ("https://10.0.0.4:6443/", HttpSource("https://10.0.0.4:6443/v1-k3s/p2p")),
        ("http://node:5000/id?x=1", HttpSource("http://node:5000/id?x=1")),
    ],
)
def test_forms_of_a_source(text, source):
    assert parse_source(text) == (source or StaticSource(parse_multiaddr(text)))


@pytest.mark.parametrize(
    "text",
    ["", "dns:", "dns:a/b", "dns:a:1", "ftp://x", "http://", "10.0.0.4", "http://u:p@h/", "/ip4/x"],
)
def test_other_forms_are_refused_with_the_forms_there_are(text):
    with pytest.raises(ValueError, match="expected /ip4/<address>"):
        parse_source(text)


def test_list_of_k3s():
    found = parse_peer_list(
        json.dumps([f"/ip4/10.0.0.4/tcp/5001/p2p/{PEER}", "/ip6/fd00::4/tcp/5001"]).encode()
    )
    assert [str(address.ip) for address in found] == ["10.0.0.4", "fd00::4"]
    assert found[0].peer == parse_peer_id(PEER)


def test_single_text_of_k3s():
    assert parse_peer_list(f"/ip4/10.0.0.4/tcp/5001/p2p/{PEER}\n".encode())[0].port == 5001


def test_list_of_spegel_with_and_without_id():
    document = [
        {"ID": PEER, "Addrs": ["/ip4/10.0.0.4/tcp/5001", "/ip4/10.0.0.4/udp/5001/quic-v1"]},
        {"ID": "", "Addrs": ["/ip4/10.0.0.5"]},
        {"Addrs": [f"/ip4/10.0.0.6/tcp/1/p2p/{PEER}"]},
    ]
    found = parse_peer_list(json.dumps(document).encode())
    assert [(str(a.ip), a.port, a.peer is not None) for a in found] == [
        ("10.0.0.4", 5001, True),
        ("10.0.0.5", None, False),
        ("10.0.0.6", 1, True),
    ]


def test_long_list_is_cut():
    document = [f"/ip4/10.0.{i >> 8}.{i & 255}/tcp/1" for i in range(1000)]
    assert len(parse_peer_list(json.dumps(document).encode())) == 64


@pytest.mark.parametrize(
    "data", [b"{", b"7", b"[7]", b'[{"Addrs": 1}]', b"<html>", b"[" * 50_000, b"\xff\xfe"]
)
def test_list_of_another_form_is_refused(data):
    with pytest.raises(ValueError, match=r".+"):
        parse_peer_list(data)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_list_or_refused(data):
    with suppress(ValueError):
        parse_peer_list(data)


def test_http_is_asked_at_the_path_of_k3s_for_json():
    seen = []
    with http_server(body(b'["/ip4/10.0.0.4/tcp/5001"]', seen=seen)) as port:
        found = asked(f"http://127.0.0.1:{port}")
    assert found[0].ip == ipaddress.ip_address("10.0.0.4")
    assert seen == [("/v1-k3s/p2p", "application/json")]


def test_node_that_knows_no_peers_names_none():
    with http_server(body(b"no peer addresses available", 503)) as port:
        assert asked(f"http://127.0.0.1:{port}") == []


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (body(b"", 404), "HTTP status 404"),
        (body(b"nonsense"), "no list of peers"),
        (body(b" " * 300_000), "larger than"),
        (lambda handler: handler.wfile.write(b"garbage\r\n\r\n"), "Bad"),
        (lambda handler: handler.connection.close(), r".+"),
    ],
)
def test_bad_answer_of_http_says_its_cause(answer, cause):
    with http_server(answer) as port, pytest.raises(SourceFailed, match=cause):
        asked(f"http://127.0.0.1:{port}")


def test_slow_http_is_given_up(monkeypatch):
    monkeypatch.setattr(sources_module, "FETCH_SECONDS", 0.3)
    with (
        http_server(lambda _handler: time.sleep(1)) as port,
        pytest.raises(SourceFailed, match=r"no answer within|timed out"),
    ):
        asked(f"http://127.0.0.1:{port}")


def test_https_needs_the_authority_and_may_show_a_certificate(tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = authority.issue_cert("node")
    client.private_key_pem.write_to_path(tmp_path / "key.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    tls = TlsFiles(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem")
    with http_server(body(b"[]"), tls=context) as port:
        url = f"https://127.0.0.1:{port}"
        assert asked(url, tls) == []
        with pytest.raises(SourceFailed, match="certificate"):
            asked(url)
        with pytest.raises(SourceFailed):
            asked(url, TlsFiles(tmp_path / "ca.pem"))
        with pytest.raises(SourceFailed, match="No such file"):
            asked(url, TlsFiles(tmp_path / "missing.pem"))


def test_name_gives_all_its_addresses():
    found = asked("dns:localhost")
    assert ipaddress.ip_address("127.0.0.1") in [address.ip for address in found]
    assert all(address.port is None and address.peer is None for address in found)


@pytest.mark.parametrize("name", ["no-such-name.invalid", "a" * 300])
def test_name_that_cannot_be_resolved_says_so(name):
    with pytest.raises(SourceFailed, match="resolved"):
        asked(f"dns:{name}")
