import contextlib

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from p2p.wire.frames import (
    ProtocolError,
    accept_protocol,
    frame,
    propose,
    read_agreement,
    read_frame,
)


class Bytes:
    """A stream that delivers given bytes and keeps what is written."""

    def __init__(self, data: bytes, chunk: int = 1 << 20) -> None:
        self.data, self.chunk, self.written = data, chunk, b""

    async def read(self, n: int | None = None) -> bytes:
        if not self.data:
            raise EOFError
        size = min(self.chunk, len(self.data) if n is None else n)
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    async def write(self, data: bytes) -> None:
        self.written += data


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 400))
def test_frames_come_out_as_they_went_in(messages, chunk):
    stream = Bytes(b"".join(map(frame, messages)), chunk)

    async def main():
        return [await read_frame(stream, 300) for _ in messages]

    assert trio.run(main) == messages
    assert stream.data == b""


@given(st.binary(max_size=50))
def test_any_bytes_end_in_a_message_or_an_error(data):
    async def main():
        await read_frame(Bytes(data), 40)

    with contextlib.suppress(ProtocolError, EOFError):
        trio.run(main)


def test_length_beyond_the_limit_is_refused_before_it_is_read():
    with pytest.raises(ProtocolError, match="41 bytes, 40 are allowed"):
        trio.run(read_frame, Bytes(frame(bytes(41))), 40)


def test_endless_length_is_refused():
    with pytest.raises(ProtocolError, match="more than 5 bytes"):
        trio.run(read_frame, Bytes(b"\xff" * 100), 40)


def test_proposal_is_accepted_and_agreed():
    stream = Bytes(propose("/b"))
    assert trio.run(accept_protocol, stream, {"/a", "/b"}) == "/b"
    trio.run(read_agreement, Bytes(stream.written), "/b")


def test_second_proposal_may_fit():
    stream = Bytes(propose("/x") + frame(b"/a\n"))
    assert trio.run(accept_protocol, stream, {"/a"}) == "/a"


@pytest.mark.parametrize(
    "data",
    [
        frame(b"GET / HTTP/1.1\n"),
        frame(b"/multistream/1.0.0"),
        frame(bytes(2000)),
        propose("/x") + frame(b"/x\n") * 20,
    ],
)
def test_what_is_no_multistream_is_refused(data):
    with pytest.raises(ProtocolError):
        trio.run(accept_protocol, Bytes(data), {"/a"})


def test_refusal_of_the_peer_is_an_error():
    answer = frame(b"/multistream/1.0.0\n") + frame(b"na\n")
    with pytest.raises(ProtocolError, match="asked for /a, the peer answered 'na'"):
        trio.run(read_agreement, Bytes(answer), "/a")
