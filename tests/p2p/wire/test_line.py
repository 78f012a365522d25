"""The kept stream, on a stream in memory and a clock that jumps."""

import pytest
import trio
import trio.testing

from p2p.port import PeerAddress, PeerId, PeerUnreachable
from p2p.wire.frames import accept_protocol, frame, read_frame
from p2p.wire.line import IDLE_SECONDS, Exchange, Line

KAD = "/kad"
WHERE = PeerAddress(PeerId(b"peer"), ())


class Ended(Exception):
    """The stream is over, whatever yamux calls it."""


class Half:
    """One end of a stream in memory."""

    def __init__(self, send, receive):
        self._send, self._receive, self._buffer = send, receive, b""
        self.writes = 0

    async def read(self, n=None):
        while not self._buffer:
            try:
                self._buffer = await self._receive.receive()
            except (trio.EndOfChannel, trio.ClosedResourceError):
                raise Ended from None
        taken, self._buffer = self._buffer[:n], self._buffer[n:] if n is not None else b""
        return taken

    async def write(self, data):
        self.writes += 1
        try:
            await self._send.send(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Ended from None

    async def reset(self):
        self._send.close()
        self._receive.close()
        await trio.lowlevel.checkpoint()


class Peer:
    """Opens streams to a peer that answers each message as `behave` says."""

    def __init__(self, nursery, behave):
        self._nursery, self._behave = nursery, behave
        self.opened = []
        self.received = []
        self.fail_opening = None

    async def open(self, where):
        await trio.lowlevel.checkpoint()
        if self.fail_opening:
            raise PeerUnreachable(self.fail_opening)
        there, here = trio.open_memory_channel(100), trio.open_memory_channel(100)
        ours, theirs = Half(there[0], here[1]), Half(here[0], there[1])
        self.opened.append(ours)
        self._nursery.start_soon(self._serve, theirs, len(self.opened))
        return ours

    async def _serve(self, stream, number):
        try:
            await accept_protocol(stream, {KAD})
            while True:
                message = await read_frame(stream, 1000)
                self.received.append(message)
                answer = await self._behave(number, message)
                if answer is not None:
                    await stream.write(frame(answer))
        except Ended:
            pass
        finally:
            await stream.reset()


def exchange(message, *, wants_answer=True, seconds=10.0):
    return Exchange(frame(message), wants_answer, trio.current_time() + seconds)


def run(behave, scenario):
    """Runs `scenario(line, peer)` against a peer, in jumping time."""

    async def main():
        async with trio.open_nursery() as nursery:
            peer = Peer(nursery, behave)
            line = Line(KAD, WHERE, peer.open)
            nursery.start_soon(line.run)
            await scenario(line, peer)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def done(*exchanges):
    for each in exchanges:
        await each.done.wait()
    return [each.error or each.answer for each in exchanges]


async def echo(_number, message):
    await trio.lowlevel.checkpoint()
    return message


def test_what_is_queued_at_once_goes_out_in_one_write():
    async def scenario(line, peer):
        exchanges = [exchange(b"%d" % number) for number in range(50)]
        for each in exchanges:
            line.submit(each)
        assert await done(*exchanges) == [b"%d" % number for number in range(50)]
        assert [stream.writes for stream in peer.opened] == [1]

    run(echo, scenario)


def test_idle_line_ends_before_go_would_reset_it():
    async def scenario(line, peer):
        line.submit(first := exchange(b"a"))
        await done(first)
        await trio.sleep(IDLE_SECONDS - 1)
        assert not line.closed
        await trio.sleep(2)
        assert line.closed
        with pytest.raises(Ended):
            await peer.opened[0].write(b"x")

    assert IDLE_SECONDS < 60
    run(echo, scenario)


def test_stream_reset_after_use_is_replaced_without_anybody_noticing():
    async def behave(number, message):
        await trio.lowlevel.checkpoint()
        if number == 1 and message == b"second":
            raise Ended
        return message

    async def scenario(line, peer):
        line.submit(first := exchange(b"first"))
        await done(first)
        line.submit(second := exchange(b"second"))
        line.submit(third := exchange(b"third"))
        assert await done(second, third) == [b"second", b"third"]
        assert len(peer.opened) == 2

    run(behave, scenario)


def test_messages_without_answer_are_written_again_on_a_fresh_stream():
    async def scenario(line, peer):
        line.submit(first := exchange(b"first"))
        await done(first)
        await peer.opened[0].reset()
        line.submit(second := exchange(b"second", wants_answer=False))
        assert await done(second) == [b""]
        await trio.sleep(0.1)
        assert peer.received == [b"first", b"second"]

    run(echo, scenario)


def test_second_break_fails():
    async def behave(_number, _message):
        await trio.lowlevel.checkpoint()
        raise Ended

    async def scenario(line, peer):
        line.submit(only := exchange(b"a"))
        assert await done(only) == ["Ended"]
        assert len(peer.opened) == 2

    run(behave, scenario)


def test_silence_fails_all_behind_it_and_the_next_begins_afresh():
    async def behave(number, message):
        if number == 1:
            await trio.sleep_forever()
        return message

    async def scenario(line, _peer):
        exchanges = [exchange(b"a", seconds=1), exchange(b"b", seconds=5)]
        for each in exchanges:
            line.submit(each)
        assert await done(*exchanges) == ["no answer in time"] * 2
        line.submit(after := exchange(b"c"))
        assert await done(after) == [b"c"]

    run(behave, scenario)


def test_peer_that_cannot_be_reached_fails_what_waits_and_may_come_back():
    async def scenario(line, peer):
        peer.fail_opening = "refused"
        line.submit(first := exchange(b"a"))
        assert await done(first) == ["refused"]
        peer.fail_opening = None
        line.submit(second := exchange(b"b"))
        assert await done(second) == [b"b"]

    run(echo, scenario)


def test_answer_that_nobody_asked_for_ends_the_stream():
    async def behave(number, message):
        await trio.lowlevel.checkpoint()
        return message if number == 2 or message == b"a" else b"unasked"

    async def scenario(line, peer):
        line.submit(first := exchange(b"a"))
        await done(first)
        line.submit(exchange(b"note", wants_answer=False))
        await trio.sleep(1)
        line.submit(second := exchange(b"b"))
        assert await done(second) == [b"b"]
        assert len(peer.opened) == 2

    run(behave, scenario)


def test_end_of_the_line_fails_what_is_open():
    async def behave(_number, _message):
        await trio.sleep_forever()

    pending = []

    async def scenario(line, _peer):
        pending.append(exchange(b"a"))
        line.submit(pending[0])
        await trio.sleep(1)

    run(behave, scenario)
    assert pending[0].error == "the connection is closing"
