"""What we know of each peer as a source, and whom to ask first. Pure: time is an argument."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

_MAX_PEERS = 10_000
_MAX_ABSENT = 20_000
_LONGEST_SHUN = 60.0
_TRIAL = 0.15
_IMPATIENT = 10.0
_SUSPECT = 2.0
_ABSENT = 2.0
_WEIGHT = 0.3
_UNKNOWN_LATENCY = 0.02
_HEDGE_LEAST, _HEDGE_MOST = 0.08, 0.5


class Fault(Enum):
    """Why a peer lost its place for a while."""

    UNREACHABLE = "unreachable"
    STALLED = "stalled"
    BROKEN = "broken"
    WRONG_BYTES = "wrong_bytes"


_FIRST_SHUN = {
    Fault.UNREACHABLE: 1.0,
    Fault.STALLED: 10.0,  # finding out costs seconds each time: a pull shall pay that once
    Fault.BROKEN: 1.0,
    Fault.WRONG_BYTES: _LONGEST_SHUN,
}
"""Seconds, at the first fault in a row."""


@dataclass(slots=True)
class Peer:
    """One peer's registry.

    Attributes:
        address: IP address.
        latency: Seconds to the head of an answer, smoothed; None before the first.
        throughput: Bytes per second of large bodies, smoothed; None before the first.
        running: Bodies that it sends us now.
        faults: Faults in a row.
        stalled: Whether one of these was silence.
        shunned_until: It is not asked before this time.
        suspect_until: It is asked last before this time.
        impatient_until: Before this time it is not waited for when it says that it is busy.
    """

    address: str
    latency: float | None = None
    throughput: float | None = None
    running: int = 0
    faults: int = 0
    stalled: bool = False
    shunned_until: float = 0.0
    suspect_until: float = 0.0
    impatient_until: float = 0.0


class PeerBook:
    """All peers met, within bounds; knows whom to ask, in which order, for how long alone."""

    def __init__(self) -> None:
        self._peers: OrderedDict[str, Peer] = OrderedDict()
        self._absent: OrderedDict[tuple[str, str], float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._peers)

    @property
    def running(self) -> int:
        """Bodies that peers send us now."""
        return sum(peer.running for peer in self._peers.values())

    def get(self, address: str) -> Peer:
        """The peer at `address`, met or new."""
        peer = self._peers.get(address)
        if peer is None:
            peer = self._peers[address] = Peer(address)
            while len(self._peers) > _MAX_PEERS:
                self._peers.popitem(last=False)
        return peer

    def all(self) -> list[Peer]:
        """Every peer met."""
        return list(self._peers.values())

    def usable(self, address: str, key: str, now: float) -> bool:
        """Whether asking this peer for `key` makes sense now."""
        if self.get(address).shunned_until > now:
            return False
        return self._absent.get((address, key), 0.0) <= now

    def rank(self, addresses: Iterable[str], now: float) -> list[str]:
        """Best first: not suspect, least busy, quickest to answer."""

        def cost(address: str) -> tuple[bool, int, float]:
            peer = self.get(address)
            latency = _UNKNOWN_LATENCY if peer.latency is None else peer.latency
            return peer.suspect_until > now, peer.running, latency

        return sorted(addresses, key=cost)

    def hedge_after(self, address: str, now: float) -> float:
        """Seconds to wait for this peer's answer before another is asked as well."""
        peer = self.get(address)
        if peer.suspect_until > now:
            return 0.0
        latency = _UNKNOWN_LATENCY if peer.latency is None else peer.latency
        return min(max(4 * latency, _HEDGE_LEAST), _HEDGE_MOST)

    def trial(self, address: str) -> float | None:
        """Seconds in which a peer must answer that kept silent the last time; None for others."""
        peer = self.get(address)
        return max(_TRIAL, 4 * (peer.latency or 0.0)) if peer.stalled else None

    def answered(self, address: str, seconds: float) -> None:
        """The peer answered, with content or with 404: it is not silent.

        Forgives no fault: a liar answers quickly, and an answer to a request that was under way
        when another one failed proves nothing.
        """
        peer = self.get(address)
        peer.latency = _smooth(peer.latency, seconds)
        peer.suspect_until = 0.0

    def proved(self, address: str) -> None:
        """The peer did all that it was asked for: its next fault counts as its first."""
        peer = self.get(address)
        peer.faults, peer.stalled = 0, False

    def delivered(self, address: str, size: int, seconds: float) -> None:
        """The peer sent `size` bytes of a body in `seconds`."""
        if seconds > 0:
            peer = self.get(address)
            peer.throughput = _smooth(peer.throughput, size / seconds)

    def absent(self, address: str, key: str, now: float) -> None:
        """The peer answered that it does not hold `key`; asked again only after 2 s."""
        self._absent[address, key] = now + _ABSENT
        self._absent.move_to_end((address, key))
        while len(self._absent) > _MAX_ABSENT:
            self._absent.popitem(last=False)

    def slow(self, address: str, now: float) -> None:
        """Another peer had to be asked because this one kept silent: it goes last for a while."""
        self.get(address).suspect_until = now + _SUSPECT

    def worth_waiting(self, address: str, now: float) -> bool:
        """Whether to come back to a peer that says it is busy, rather than go without."""
        return self.get(address).impatient_until <= now

    def waited_in_vain(self, address: str, now: float) -> None:
        """A peer was still busy after it was waited for: a pull shall pay that once."""
        self.get(address).impatient_until = now + _IMPATIENT

    def failed(self, address: str, fault: Fault, now: float) -> None:
        """The peer failed us: shunned for a while, for twice as long each time, up to 60 s."""
        peer = self.get(address)
        peer.faults += 1
        peer.stalled |= fault is Fault.STALLED
        shun = min(_FIRST_SHUN[fault] * 2.0 ** min(peer.faults - 1, 10), _LONGEST_SHUN)
        peer.shunned_until = max(peer.shunned_until, now + shun)


def _smooth(old: float | None, new: float) -> float:
    return new if old is None else old + _WEIGHT * (new - old)
