"""One node of the DHT: events in, commands out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from p2p.kad.announcer import Announcer
from p2p.kad.answers import Answers
from p2p.kad.commands import Command, Finished, Found
from p2p.kad.messages import add_provider
from p2p.kad.outbox import Outbox
from p2p.kad.peers import Peers
from p2p.kad.records import Records
from p2p.kad.refresh import Refresher
from p2p.kad.republish import OwnKeys
from p2p.kad.table import Table
from p2p.kad.walks import Walks
from p2p.port import Key, PeerAddress, PeerConnected, PeerDisconnected, PeerEvent, PeerId

HOUSEKEEPING = 1.0
"""Seconds between rounds of probes, republishing and sweeping."""

SWEEP_ROUND = 60
"""Seconds in which the sweep gets round all records, so by how much one may outlive its time."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened since the start, and what is held now.

    Attributes:
        records: Provider records held for others.
        keys: Keys those records are filed under.
        own_keys: Keys that this node provides.
        lookups: Walks begun, those for the routing table included.
        lookups_unanswered: Walks in which no peer answered.
        requests: Requests sent to peers.
        request_errors: Those, and announcements, that failed.
        served: Requests of peers, announcements included.
        refused: Messages of peers that were nonsense or beyond a limit.
    """

    records: int
    keys: int
    own_keys: int
    lookups: int
    lookups_unanswered: int
    requests: int
    request_errors: int
    served: int
    refused: int


class Dht:
    """The node's state and its decisions; a driver brings time, randomness and messages.

    After every call the driver takes `commands` and does them, and it calls `tick` at
    `next_tick`. Times are seconds of one monotonic clock.

    Args:
        local: This node as it announces itself; set the attribute anew when that changes.
        random: Everything random is drawn from it.
        now: The time.
        max_records: Provider records held for others, in all.
        max_records_per_peer: Provider records held for one peer.
    """

    def __init__(
        self,
        local: PeerAddress,
        random: Random,
        now: float,
        *,
        max_records: int = 200_000,
        max_records_per_peer: int = 50_000,
    ) -> None:
        self.local = local
        self._outbox = Outbox()
        self._records = Records(max_records, max_records_per_peer)
        self._own = OwnKeys(random.random(), now)
        self._peers = Peers(local.peer, self._outbox)
        self._walks = Walks(self._peers, self._outbox)
        self._announcer = Announcer(self._own, self._peers, self._walks, self._outbox)
        self._refresher = Refresher(self._peers, self._walks, random, now)
        self._answers = Answers(lambda: self.local, self._own, self._records, self._peers, random)
        self._announced_at = local.addresses
        self._housekeeping_at = now

    @property
    def table(self) -> Table:
        """The routing table, to be read."""
        return self._peers.table

    @property
    def counts(self) -> Counts:
        """What to show of this node."""
        return Counts(
            records=len(self._records),
            keys=self._records.keys,
            own_keys=len(self._own),
            lookups=self._walks.started,
            lookups_unanswered=self._walks.unanswered,
            requests=self._peers.requests,
            request_errors=self._peers.errors,
            served=self._answers.served,
            refused=self._answers.refused,
        )

    def commands(self) -> list[Command]:
        """What to do now; each command is given once."""
        return self._outbox.drain()

    @property
    def next_tick(self) -> float:
        """When to call `tick` next."""
        return min(self._housekeeping_at, self._walks.deadline)

    def tick(self, now: float) -> None:
        """Does what is due."""
        self._walks.tick(now)
        if now >= self._housekeeping_at:
            self._housekeeping_at = now + HOUSEKEEPING
            self._peers.tick(now)
            if self.local.addresses != self._announced_at:
                self._announced_at = self.local.addresses
                self._announcer.repeat(now)
            self._announcer.tick(now)
            self._refresher.tick(now)
            self._records.sweep(now, 1 + self._records.keys // SWEEP_ROUND)

    def happened(self, event: PeerEvent, now: float) -> None:
        """A peer came or went."""
        match event:
            case PeerConnected():
                self._peers.connected(event, now)
            case PeerDisconnected(peer):
                self._peers.disconnected(peer, now)

    def answered(self, ticket: int, message: bytes, now: float) -> None:
        """A command was done; `message` is the peer's answer, empty where none is due."""
        self._outbox.settle(ticket, message, now)

    def failed(self, ticket: int, now: float) -> None:
        """A command could not be done."""
        self._outbox.settle(ticket, None, now)

    def request(self, sender: PeerAddress, message: bytes, now: float) -> bytes | None:
        """Answers a Kademlia message of a peer; None where no answer is due.

        Raises:
            BadMessage: The message is nonsense.
        """
        return self._answers.kademlia(sender, message, now)

    def withdrawal(self, sender: PeerAddress, message: bytes, now: float) -> bytes:
        """Answers a peer that takes records back.

        Raises:
            BadMessage: The message is nonsense.
        """
        return self._answers.withdrawal(sender, message, now)

    def meet(self, peers: Iterable[PeerAddress], now: float) -> None:
        """Gets to know peers that bootstrap named."""
        for address in peers:
            if address.peer not in self._peers.table:
                self._peers.probe(address, now)

    def known(self, key: Key) -> list[PeerAddress]:
        """Who provides `key` as far as this node's own records tell, the dead and itself left out.

        Safe to call from another thread.
        """
        return [
            provider for provider in self._records.get(key) if not self._peers.dead(provider.peer)
        ]

    def find(self, key: Key, now: float) -> int:
        """Walks the network for providers: `Found` as they come, then `Finished`."""
        job = self._outbox.number()

        def named(providers: Sequence[PeerAddress], by: PeerId, at: float) -> Sequence[PeerAddress]:
            for provider in providers:
                self._peers.named(provider, at)
            credible = tuple(p for p in providers if self._credible(key, p.peer, by))
            if credible:
                self._outbox.say(Found(job, credible))
            return credible

        def done(closest: list[PeerAddress], at: float) -> None:
            self._outbox.say(Finished(job))

        self._walks.providers(job, key, named, done, now)
        return job

    def stop(self, job: int) -> None:
        """Ends a walk of `find` early, without `Finished`."""
        self._walks.stop(job)

    def provide(self, keys: Iterable[Key], now: float) -> int:
        """Provides keys from now on; the job is finished when the nearest peers are told."""
        return self._announcer.provide(keys, now)

    def withdraw(self, keys: Iterable[Key], now: float) -> int:
        """Provides keys no longer; the job is finished when those who can have dropped them."""
        return self._announcer.withdraw(keys, now)

    def leave(self, now: float) -> int:
        """Takes all records back and provides no more; the job is finished when all know."""
        return self._announcer.leave(now)

    def announcements(self, keys: Iterable[Key]) -> list[bytes]:
        """The messages for an `Announce`; keys withdrawn since are left out."""
        return add_provider(self.local, [key for key in keys if key in self._own])

    def _credible(self, key: Key, provider: PeerId, by: PeerId) -> bool:
        """Whether to believe that `provider` has `key`.

        A record that was taken back may have been provided again, of which only the nearest
        peers hear: those that take withdrawals know which it is, Go's nodes do not.
        """
        if provider == self.local.peer or self._peers.dead(provider):
            return False
        return self._peers.obeys(by) or not self._records.withdrawn(key, provider)
