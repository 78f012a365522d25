"""Tells the nearest peers which keys this node provides, and takes it back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from p2p.kad.commands import Finished
from p2p.kad.ids import nearest, place_of
from p2p.kad.messages import withdrawal
from p2p.kad.outbox import Outbox
from p2p.kad.peers import RPC_TIMEOUT, Peers
from p2p.kad.republish import OwnKeys
from p2p.kad.spread import Spread
from p2p.kad.table import Contact, K
from p2p.kad.walks import Walks
from p2p.port import LEAVE_PROTOCOL, Key, PeerAddress, PeerId

PUSH_INTERVAL = 30.0
"""Seconds between two hand-overs of all keys to one peer, however often it comes and goes."""

LEAVE_TIMEOUT = 0.8
"""Seconds for a peer to confirm that it knows: the leaving node waits, and must be gone in one."""

WITHDRAW_BATCH = 1000
"""Keys of one withdrawal."""

_Then = Callable[[float], None]
"""Called with the time when something is done."""

_Deliver = Callable[[PeerAddress, tuple[Key, ...], _Then], int]
"""Sends a peer its keys and returns in how many requests; the callback comes for each."""


class Announcer:
    """Keeps own keys known to the peers nearest to them."""

    def __init__(self, own: OwnKeys, peers: Peers, walks: Walks, outbox: Outbox) -> None:
        self._own = own
        self._peers = peers
        self._walks = walks
        self._outbox = outbox
        self._leaving = False
        self._pushed: dict[PeerId, float] = {}
        self._push_due: dict[PeerId, float] = {}
        self._told_anew: set[PeerId] = set()
        peers.on_joined(self._push)

    def provide(self, keys: Iterable[Key], now: float) -> int:
        """Adds keys and announces those that are new; returns the job that then finishes."""
        job = self._outbox.number()
        self._announce(self._own.add(keys), lambda _: self._outbox.say(Finished(job)), now)
        return job

    def withdraw(self, keys: Iterable[Key], now: float) -> int:
        """Removes keys and has the records of those that were provided dropped."""
        job = self._outbox.number()
        removed = self._own.remove(keys)

        def finished(at: float) -> None:
            self._outbox.say(Finished(job))
            anew = [key for key in removed if key in self._own]
            if anew:  # their announcement may have come before this withdrawal
                self._announce(anew, _nothing, at)

        self._take_back(removed, finished, now)
        return job

    def leave(self, now: float) -> int:
        """Takes everything back for good; nothing is announced any more."""
        job = self._outbox.number()
        self._leaving = True
        self._own.remove(list(self._own))
        message = withdrawal(leaving=True)
        rest = _Countdown(lambda _: self._outbox.say(Finished(job)))
        for address in self._peers.obedient():
            rest.add(1)
            self._tell(address, message, LEAVE_TIMEOUT, rest.done)
        rest.done(now)
        return job

    def repeat(self, now: float) -> None:
        """Announces everything: this node has moved, or has an address at last."""
        self._announce(list(self._own), _nothing, now)

    def tick(self, now: float) -> None:
        """Announces what has come due; call about every second."""
        due = self._own.due(now)
        if due:
            self._announce(due, _nothing, now)
        self._told_anew &= {contact.address.peer for contact in self._peers.table}
        for peer in [peer for peer, at in self._pushed.items() if at + PUSH_INTERVAL <= now]:
            del self._pushed[peer]
        for peer in [peer for peer, at in self._push_due.items() if at <= now]:
            del self._push_due[peer]
            contact = self._peers.table.get(peer)
            if contact is not None:
                self._push(contact, now)

    def _push(self, contact: Contact, now: float) -> None:
        """Hands a peer that is new, or may have lost its memory, the keys that it should hold."""
        peer = contact.address.peer
        if peer in self._pushed:
            self._push_due[peer] = self._pushed[peer] + PUSH_INTERVAL
            return
        self._pushed[peer] = now
        if self._leaving or peer in self._told_anew or not self._peers.obeys(peer):
            self._hand_over(contact)
            return
        # What it knows of us may be older than this process, or than a withdrawal that it missed.
        self._told_anew.add(peer)
        message = withdrawal(anew=True)
        self._tell(contact.address, message, RPC_TIMEOUT, lambda _: self._hand_over(contact))

    def _hand_over(self, contact: Contact) -> None:
        keys: Iterable[Key] = self._own
        if len(self._peers.table) > K:
            places = sorted(other.place for other in self._peers.table)
            keys = (key for key in self._own if contact.place in nearest(places, place_of(key), K))
        self._send(contact.address, tuple(keys), _nothing)

    def _announce(self, keys: list[Key], then: _Then, now: float) -> None:
        def finished(at: float) -> None:
            then(at)
            gone = [key for key in keys if key not in self._own]
            if gone and not self._leaving:  # their withdrawal may have come before
                self._take_back(gone, _nothing, at)

        self._spread(keys, K, self._send, finished, now)

    def _take_back(self, keys: list[Key], then: _Then, now: float) -> None:
        if keys:
            missing = (contact.address.peer for contact in self._peers.table if contact.failures)
            self._told_anew.difference_update(missing)
        # Twice K: as peers come and go, records lie with some that are no longer the nearest.
        self._spread(keys, 2 * K, self._withdraw, then, now)

    def _spread(
        self, keys: list[Key], width: int, deliver: _Deliver, then: _Then, now: float
    ) -> None:
        """Finds the `width` nearest peers of each key, delivers, and waits for the last."""
        if not keys:
            then(now)
            return
        table = self._peers.table
        known = [contact.address for contact in table if not contact.failures]
        spread = Spread(keys, known, whole=table.complete, width=width)

        def ready(at: float) -> None:
            rest = _Countdown(then)
            for address, part in spread.assignments():
                rest.add(deliver(address, part, rest.done))
            rest.done(at)

        self._look_up(spread, ready, now)

    def _look_up(self, spread: Spread, ready: _Then, now: float) -> None:
        if spread.finished:
            ready(now)
            return
        while (target := spread.next_target()) is not None:

            def learn(closest: list[PeerAddress], at: float, target: Key = target) -> None:
                spread.learned(target, closest)
                self._look_up(spread, ready, at)

            self._walks.towards(target, learn, now)

    def _send(self, address: PeerAddress, keys: tuple[Key, ...], done: _Then) -> int:
        if self._leaving or not keys:
            return 0

        def sent(answer: bytes | None, at: float) -> None:
            if answer is None:
                self._peers.lost(address.peer, at)
            done(at)

        self._outbox.announce(address, keys, sent)
        return 1

    def _withdraw(self, address: PeerAddress, keys: tuple[Key, ...], done: _Then) -> int:
        if not self._peers.obeys(address.peer):
            return 0
        gone = [key for key in keys if key not in self._own]
        starts = range(0, len(gone), WITHDRAW_BATCH)
        for start in starts:
            message = withdrawal(gone[start : start + WITHDRAW_BATCH])
            self._tell(address, message, RPC_TIMEOUT, done)
        return len(starts)

    def _tell(self, address: PeerAddress, message: bytes, timeout: float, done: _Then) -> None:
        def told(answer: bytes | None, at: float) -> None:
            if answer is None:
                self._told_anew.discard(address.peer)
                self._peers.lost(address.peer, at)
            done(at)

        self._outbox.ask(address, LEAVE_PROTOCOL, message, timeout, told)


class _Countdown:
    """Calls `then` once as many have come back as were sent out, and `done` once more for all."""

    def __init__(self, then: _Then) -> None:
        self._then = then
        self._open = 1

    def add(self, count: int) -> None:
        self._open += count

    def done(self, now: float) -> None:
        self._open -= 1
        if not self._open:
            self._then(now)


def _nothing(now: float) -> None:
    """What is left to do after most jobs."""
