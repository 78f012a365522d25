from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.transfer.response import MalformedResponse, parse_head


def test_status_and_headers_are_read() -> None:
    head = parse_head(b"HTTP/1.1 206 Partial Content\r\nContent-LENGTH:  7 \r\nX-A: b: c")
    assert (head.status, head.content_length, head.keep_alive) == (206, 7, True)
    assert head.headers["x-a"] == "b: c"


@pytest.mark.parametrize("line", [b"HTTP/1.1 404", b"HTTP/1.1 404 ", b"HTTP/1.1 404 Not \xff"])
def test_reason_may_be_anything(line: bytes) -> None:
    assert parse_head(line).status == 404


@pytest.mark.parametrize(
    "head", [b"HTTP/1.0 200 OK", b"HTTP/1.1 200 OK\r\nConnection: Close"]
)  # fmt: skip
def test_connection_that_will_be_closed_is_not_kept(head: bytes) -> None:
    assert not parse_head(head).keep_alive


@pytest.mark.parametrize(
    "head",
    [
        b"", b"garbage",  b"HTTP/2 200 OK", b"HTTP/1.1", b"HTTP/1.1 2",
        b"HTTP/1.1 20x OK",
        b"HTTP/1.1 2000 OK", b"HTTP/1.1 100 Continue",
        b"HTTP/1.1 099 x", b"http/1.1 200 OK", b"SSH-2.0-OpenSSH_9.2",
        b"\x15\x03\x01\x00\x02\x02F", b"HTTP/1.1 200 OK\r\nno colon", b"HTTP/1.1 \xb2\xb2\xb2 x",
    ],
)  # fmt: skip
def test_what_is_no_http_is_malformed(head: bytes) -> None:
    with pytest.raises(MalformedResponse):
        parse_head(head)


@pytest.mark.parametrize(
    "headers",
    [
        b"", b"Content-Length: ", b"Content-Length: x", b"Content-Length: -1",
        b"Content-Length: +1", b"Content-Length: 1.5", b"Content-Length: " + b"9" * 19,
        b"Content-Length: \xb2", b"Transfer-Encoding: chunked",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Content-Length: 5\r\nContent-Encoding: gzip",
    ],
)  # fmt: skip
def test_body_without_a_plain_length_is_refused(headers: bytes) -> None:
    head = parse_head(b"HTTP/1.1 200 OK" + (b"\r\n" + headers if headers else b""))
    with pytest.raises(MalformedResponse):
        _ = head.content_length


@given(
    st.binary(max_size=300)
    | st.binary(max_size=300).map(lambda data: b"HTTP/1.1 200 OK\r\n" + data)
)
def test_nonsense_is_malformed_or_read(data: bytes) -> None:
    with contextlib.suppress(MalformedResponse):
        head = parse_head(data)
        assert 200 <= head.status < 600
        assert head.content_length >= 0
