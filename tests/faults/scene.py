"""The world of one pull: who has the image, and what happens to them meanwhile."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from threading import Thread
from types import TracebackType
from typing import Self, TypeVar

from tests.cluster import faults as links
from tests.cluster.netns import Namespace, run
from tests.cluster.node import Node
from tests.cluster.waiting import wait_until
from tests.faults.content import Content
from tests.faults.lab import Lab
from tests.faults.scripts import Action, Faults, script
from tests.faults.seat import Registration, Seat
from tests.mirror.scripted_peer import Behaviour, ScriptedPeer, answering, late

T = TypeVar("T")

_KNOWN_SECONDS = 5.0
_BEGIN_SECONDS = 0.3


class Scene:
    """One image, and those who serve it. Cells say in it who and how.

    Attributes:
        lab: The cluster.
        content: The image that is to be pulled.
        puller: Who pulls it.
        mirrored: Whether through spegla. Without, there are no peers: only what happens to the
            upstream and to the puller itself can matter.
        credentials: User and password that the kubelet gives, if any.
        faults: How often a fault of theirs has come into play.
    """

    def __init__(self, lab: Lab, content: Content, *, mirrored: bool, secure: bool = False) -> None:
        """An image that the upstream has, as it should, and nobody else."""
        self.lab = lab
        self.content = content
        self.puller = lab.puller_of(secure)
        self.mirrored = mirrored
        self.faults = 0
        self.credentials: tuple[str, str] | None = None
        self.secure = secure
        self._stack = ExitStack()
        self._free = list(lab.ground.seats)
        self._meanwhile: list[Action] = []
        self.upstream({})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def upstream(self, faults: Faults) -> None:
        """How the upstream serves the image."""
        self.upstream_does(script(self.content, faults))

    def upstream_does(self, behaviour: Behaviour) -> None:
        """How the upstream serves anything."""
        self.lab.ground.upstream.behaviour = behaviour

    def refuse_at_upstream(self) -> None:
        """Lets nobody connect to the upstream."""
        space = self.mended(self.lab.ground.upstream_space)
        enter = ["nsenter", f"--net=/run/netns/{space.name}"]
        refuse = ["-p", "tcp", "--dport", "5000", "-j", "REJECT", "--reject-with", "tcp-reset"]
        run([*enter, "iptables", "--wait", "5", "-I", "INPUT", *refuse])

    def peer(
        self, faults: Faults, *, seat: Seat | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """Adds a peer that says it has the image, and serves it with these faults.

        Args:
            faults: By part of the image.
            seat: Where; a new one when not given.
            tls: What it speaks in place of what a node of this cluster does.
        """
        self.peer_does(script(self.content, faults, self._count), seat=seat, tls=tls)

    def good_peer(self) -> None:
        """Adds a peer as it should be, but 100 ms away: others are asked before it."""
        self.peer_does(late(0.1, script(self.content, {})))

    def peer_does(
        self,
        behaviour: Behaviour,
        *,
        seat: Seat | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Adds a peer that says it has the image, and does whatever it does."""
        if not self.mirrored:
            return
        seat = seat or self.seat()
        if self.secure:
            tls = tls or self.certificate(seat.address)
        peer = ScriptedPeer(seat.address, behaviour)
        seat.serve(peer.serve, tls)
        # Kept connections outlive the scene, and would keep the image's bytes in memory.
        self.afterwards(partial(setattr, peer, "behaviour", answering(404)))
        self.register(seat)

    def seat(self) -> Seat:
        """A place for a peer, at a new address, where nothing runs yet."""
        seat = self._free.pop(0)
        seat.move(self.lab.fresh_address())
        self._stack.callback(seat.leave)
        return seat

    def register(self, seat: Seat) -> None:
        """Lets the network know that who sits there has the image."""
        folder = self.lab.folder / f"{self.content.image.repository}-{seat.address}"
        bootstrap = [node.space.ipv4 for node in (self.puller, self.lab.holder)]
        seat.join(Registration(folder, bootstrap, self.content.keys))
        self._wait_until_known(seat.address)

    def holder(self) -> Node:
        """Lets the real holder pull the image, and waits until the puller knows."""
        holder = self.lab.holder
        if self.mirrored:
            # It sits at the same address each time: nothing may be held against it any more.
            self.puller.spegla.daemon.stop()
            self.puller.spegla.start()
            holder.pull(self.content.image)
            self._wait_until_known(holder.space.ipv4)
        return holder

    def source(self, faults: Faults) -> None:
        """Faults of whoever the image comes from: a peer, or the upstream when pulled directly."""
        if self.mirrored:
            self.peer(faults)
        else:
            self.upstream_does(script(self.content, faults, self._count))

    def certificate(self, address: str) -> ssl.SSLContext:
        """What a node at `address` speaks TLS with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.lab.ca.issue_cert(address).configure_cert(context)
        return context

    def background(self, action: Action) -> Action:
        """An action that begins when it is called, and goes on by itself until the scene ends."""

        def begin() -> None:
            thread = Thread(target=action)
            self._stack.callback(thread.join)
            thread.start()
            time.sleep(_BEGIN_SECONDS)

        return begin

    def meanwhile(self, action: Action) -> None:
        """Has something happen while the image is being pulled."""
        self._meanwhile.append(action)

    def mended(self, space: Namespace) -> Namespace:
        """A namespace whose link may be harmed: it is as before at the end."""
        self.afterwards(partial(links.unshape, space))
        self.afterwards(partial(links.heal, space))
        return space

    def afterwards(self, action: Action) -> None:
        """Has something undone at the end."""
        self._stack.callback(action)

    def pull(self, pulling: Callable[[Scene], T]) -> T:
        """Pulls, with all that happens meanwhile; returns what `pulling` does."""
        with ThreadPoolExecutor(max(len(self._meanwhile), 1)) as pool:
            running = [pool.submit(action) for action in self._meanwhile]
            result = pulling(self)
            for job in running:
                job.result()
            return result

    def _count(self) -> None:
        self.faults += 1

    def _wait_until_known(self, address: str) -> None:
        """Waits until the puller has heard all that a peer says: that takes a moment."""
        for key in self.content.keys:
            finds = partial(self.puller.spegla.finds, key, address)
            wait_until(f"{address} to be known", finds, _KNOWN_SECONDS)
