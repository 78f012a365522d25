"""Finds first peers: asks all sources at once and keeps to those who really answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import trio

from p2p.port import PeerAddress, PeerUnreachable
from p2p.wire.address import Endpoint, ParsedMultiaddr, show_peer, unpack
from p2p.wire.identity import IDENTITY_FILE
from p2p.wire.peerstore import PeerStore
from p2p.wire.sources import Source, SourceFailed, ask, parse_source

if TYPE_CHECKING:
    from p2p.port import Host
    from p2p.settings import Settings

log = logging.getLogger("spegla.p2p")

PEER_STORE_FILE = "peerstore"

_IDENTIFY_SECONDS = 2.0
_MAX_CANDIDATES = 128
_MAX_DIALS = 16
_REMEMBERED_ASKED = 20
_QUIET_SECONDS = 600.0


class Bootstrapper:
    """First peers from the settings' sources, and from the peers known before the last stop.

    A peer id in a source is a hint only. Every address is dialled and whoever proves an id there
    is taken, so that a node which came back with a new identity is found nevertheless.
    """

    def __init__(
        self, settings: Settings, host: Host, clock: Callable[[], float] = time.time
    ) -> None:
        """Reads nothing yet.

        Args:
            settings: Where to ask, and where the peer store lies.
            host: Dials the candidates; it must listen already, so that it knows itself.
            clock: Unix time in seconds.

        Raises:
            ValueError: A source has no known form; the message lists them.
        """
        self._sources = {text: parse_source(text) for text in settings.bootstrap}
        self._settings = settings
        self._host = host
        self._clock = clock
        self._store = PeerStore(settings.data_dir / PEER_STORE_FILE)
        self._saving = trio.Lock()
        self._itself: set[Endpoint] = set()
        self._loaded = False
        self._alone = not self._sources
        self._complained_at = -_QUIET_SECONDS

    @property
    def first(self) -> bool:
        """Whether there is no source to ask, or each one answered and named only this node."""
        return self._alone

    async def peers(self) -> list[PeerAddress]:
        """Asks every source at once; never raises, bounded to a few seconds, logs what failed."""
        if not self._loaded:
            self._loaded = True
            await trio.to_thread.run_sync(self._store.load, self._clock())
        remembered = [
            address
            for peer in self._store.peers()[:_REMEMBERED_ASKED]
            for packed in peer.addresses
            if (address := unpack(packed)) is not None
        ]
        round_ = _Round(self._host, self._settings)
        found = await round_.run(self._sources, remembered)
        self._alone = not found and not round_.failures and not round_.silent
        self._name_copies(round_.itself)
        if found or self._alone:
            self._complained_at = -_QUIET_SECONDS
        else:
            self._complain(round_)
        return found

    async def remember(self, peers: Sequence[PeerAddress]) -> None:
        """Keeps peers that answered, for the next start; cancelled, it waits for no disk."""
        for peer in peers:
            self._store.seen(peer, self._clock())
        async with self._saving:
            await trio.to_thread.run_sync(  # type: ignore[call-arg]  # trio-typing's stubs are old
                self._store.save, abandon_on_cancel=True
            )

    async def join(self, sources: Sequence[str]) -> list[PeerAddress]:
        """Asks further sources now, in the forms of `Settings.bootstrap`.

        Raises:
            ValueError: A source has none of these forms.
        """
        parsed = {text: parse_source(text) for text in sources}
        round_ = _Round(self._host, self._settings)
        found = await round_.run(parsed, [])
        if not found and (round_.failures or round_.silent):
            self._complain(round_)
        return found

    def _name_copies(self, itself: set[Endpoint]) -> None:
        """Says once of each address that the peer there has this node's identity."""
        for endpoint in itself - self._itself:
            log.warning(
                "at %s answers this node's own identity: either this node by another address, "
                "or a copy of it. Two copies never meet: remove %s on one of them and restart it",
                endpoint,
                self._settings.data_dir / IDENTITY_FILE,
            )
        self._itself |= itself

    def _complain(self, round_: _Round) -> None:
        """Says what was tried and what to look at; again only after ten minutes."""
        now = trio.current_time()
        level = logging.WARNING if now - self._complained_at >= _QUIET_SECONDS else logging.DEBUG
        if level == logging.WARNING:
            self._complained_at = now
        tried = [f"{source}: {cause}" for source, cause in round_.failures.items()]
        tried += [f"{endpoint}: {cause}" for endpoint, cause in round_.silent.items()]
        log.log(
            level,
            "no peer answered, will try again (tried %s). Check that the other node runs, that no "
            "firewall blocks TCP port %d, that every node uses this p2p port, and that all have "
            "%s",
            "; ".join(tried)[:2000],
            self._settings.port,
            "the same pre-shared key" if self._settings.psk else "no pre-shared key, like this one",
        )


class _Round:
    """One time of asking everybody."""

    def __init__(self, host: Host, settings: Settings) -> None:
        self.failures: dict[str, str] = {}
        self.silent: dict[Endpoint, str] = {}
        self.itself: set[Endpoint] = set()
        self._host = host
        self._tls = settings.tls
        own = [end for address in host.local.addresses if (end := unpack(address)) is not None]
        self._port = settings.port or (own[0].port if own else 0)
        self._found: dict[bytes, PeerAddress] = {}
        self._tried = set(own)
        self._dials = trio.CapacityLimiter(_MAX_DIALS)

    async def run(
        self, sources: dict[str, Source], remembered: Sequence[Endpoint]
    ) -> list[PeerAddress]:
        """Dials what the sources name while others are still being asked."""
        async with trio.open_nursery() as nursery:
            for text, source in sources.items():
                nursery.start_soon(self._ask, nursery, text, source)
            for endpoint in remembered:
                nursery.start_soon(self._try, endpoint, False)
        return list(self._found.values())

    async def _ask(self, nursery: trio.Nursery, text: str, source: Source) -> None:
        try:
            named = await ask(source, self._tls)
        except SourceFailed as error:
            self.failures[text] = str(error)
            return
        for address in named:
            endpoint = Endpoint(address.ip, address.port or self._port)
            nursery.start_soon(self._try, endpoint, True, address)

    async def _try(
        self, endpoint: Endpoint, matters: bool, named: ParsedMultiaddr | None = None
    ) -> None:
        """Learns who is there. Silence of a peer remembered from earlier is no failure."""
        if endpoint in self._tried or len(self._tried) >= _MAX_CANDIDATES:
            return
        self._tried.add(endpoint)
        async with self._dials:
            try:
                peer = await self._host.identify(endpoint.pack(), _IDENTIFY_SECONDS)
            except PeerUnreachable as error:
                if matters:
                    self.silent[endpoint] = str(error)
                return
        if peer.peer == self._host.local.peer:
            self.itself.add(endpoint)
            return
        if named is not None and named.peer not in (None, peer.peer):
            log.info("%s is %s now, no longer the id given", endpoint, show_peer(peer.peer))
        known = self._found.get(peer.peer)
        addresses = (*known.addresses, *peer.addresses) if known else peer.addresses
        self._found[peer.peer] = PeerAddress(peer.peer, addresses)
