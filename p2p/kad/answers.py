"""What this node answers to the requests of others."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from p2p.kad.ids import place_of
from p2p.kad.messages import (
    WITHDRAWN,
    answer,
    decode,
    decode_withdrawal,
    peer_message,
    peers_in,
)
from p2p.kad.pb.dht_pb2 import Message
from p2p.kad.peers import Peers
from p2p.kad.records import Records
from p2p.kad.republish import OwnKeys
from p2p.kad.table import K
from p2p.port import BadMessage, Key, PeerAddress

MAX_PROVIDERS = 20
"""Providers in one answer, drawn at random, so that a thousand askers spread over all holders."""


class Answers:
    """Serves records and the routing table.

    Args:
        local: This node as it announces itself now.
        own: Keys that this node provides itself.
        records: What others provide.
        peers: Whom to name as nearer.
        random: Draws the providers of an answer.
    """

    def __init__(
        self,
        local: Callable[[], PeerAddress],
        own: OwnKeys,
        records: Records,
        peers: Peers,
        random: Random,
    ) -> None:
        self.served = 0
        self.refused = 0
        self._local = local
        self._own = own
        self._records = records
        self._peers = peers
        self._random = random

    def kademlia(self, sender: PeerAddress, data: bytes, now: float) -> bytes | None:
        """Answers one message, or returns None where no answer is due.

        Raises:
            BadMessage: It is nonsense, or asks for what a provider-only DHT does not do.
        """
        self.served += 1
        try:
            request = decode(data)
            self._peers.heard_from(sender.peer, now)
            match request.type:
                case Message.FIND_NODE | Message.GET_VALUE:
                    return answer(request, self._closer(sender, request.key))
                case Message.GET_PROVIDERS:
                    providers = self._providers(Key(request.key))
                    return answer(request, self._closer(sender, request.key), providers)
                case Message.ADD_PROVIDER:
                    self._add(sender, request, now)
                    return None
                case Message.PING:
                    return data
                case _:
                    raise BadMessage(f"a request of type {request.type}, which is not served")
        except BadMessage:
            self.refused += 1
            raise

    def withdrawal(self, sender: PeerAddress, data: bytes, now: float) -> bytes:
        """Drops records of the sender, and of nobody else.

        Raises:
            BadMessage: It is nonsense.
        """
        try:
            message = decode_withdrawal(data)
        except BadMessage:
            self.refused += 1
            raise
        if message.leaving or message.anew:
            self._records.forget(sender.peer)
        if message.leaving:
            self._peers.left(sender.peer, now)
        self._records.withdraw(sender.peer, map(Key, message.keys), now)
        return WITHDRAWN

    def _add(self, sender: PeerAddress, request: Message, now: float) -> None:
        """Files a record of the sender's own.

        A wrong one is passed over without a reset, which would take the ones behind it along; so
        is one that was still on its way when its sender left.
        """
        if not request.key or self._peers.leaving(sender.peer):
            self.refused += 1
            return
        for provider in peers_in(request.provider_peers):
            if provider.peer == sender.peer:
                if not self._records.add(Key(request.key), provider, now):
                    self.refused += 1
                return
        self.refused += 1

    def _providers(self, key: Key) -> list[Message.Peer]:
        alive = [
            provider for provider in self._records.get(key) if not self._peers.dead(provider.peer)
        ]
        if len(alive) > MAX_PROVIDERS:
            alive = self._random.sample(alive, MAX_PROVIDERS)
        messages = [peer_message(provider) for provider in alive]
        local = self._local()
        if key in self._own and local.addresses:
            messages.append(peer_message(local))
        return messages

    def _closer(self, asker: PeerAddress, target: bytes) -> list[Message.Peer]:
        """The nearest peers but the asker.

        At least one when any is known, be it a failing one: Go's nodes take a peer whose answer
        names nobody for useless (facts of Spegel's wire).
        """
        table = self._peers.table
        contacts = table.closest(place_of(target), K + 1) or list(table)[:K]
        return [c.wire for c in contacts if c.address.peer != asker.peer][:K]
