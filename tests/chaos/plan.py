"""Which faults befall which node, and when. Pure: the same seed gives the same faults."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum


class What(Enum):
    """What can happen to a node."""

    AGENT_KILLED = "agent killed"
    AGENT_RESTARTED = "agent restarted"
    AGENT_PAUSED = "agent paused"
    CONTAINERD_KILLED = "containerd killed"
    CONTAINERD_RESTARTED = "containerd restarted"
    CONTAINERD_PAUSED = "containerd paused"
    CUT_OFF = "cut off"


ENDS_AGENT = frozenset({What.AGENT_KILLED, What.AGENT_RESTARTED})
"""What begins a new agent; nothing can be said of an old one's memory then."""

ENDS_CONTAINERD = frozenset({What.CONTAINERD_KILLED, What.CONTAINERD_RESTARTED})
"""What ends the pulls of a node with or without us."""

_PAUSE = (0.5, 4.0)
_LASTS = {
    What.AGENT_KILLED: (0.0, 4.0),
    What.AGENT_RESTARTED: (0.0, 2.0),
    What.AGENT_PAUSED: (0.3, 8.0),
    What.CONTAINERD_KILLED: (0.0, 2.0),
    What.CONTAINERD_RESTARTED: (0.0, 2.0),
    What.CONTAINERD_PAUSED: (0.3, 4.0),
    What.CUT_OFF: (0.5, 10.0),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that happens.

    Attributes:
        pause: Seconds before it, since the last one's end.
        node: Index of the node.
        what: What happens to it.
        lasts: Seconds until it is over: until a process is started again, or goes on.
    """

    pause: float
    node: int
    what: What
    lasts: float


def faults(seed: str, nodes: Sequence[int], spared: frozenset[int]) -> Iterator[Fault]:
    """Faults one after the other, without end.

    Args:
        seed: What the choice comes from.
        nodes: The nodes that they befall.
        spared: Those of them whose agents live on, to show whether they leak.
    """
    choice = random.Random(seed)
    while True:
        node = choice.choice(nodes)
        what = choice.choice([w for w in What if node not in spared or w not in ENDS_AGENT])
        lasts = choice.uniform(*_LASTS[what])
        yield Fault(choice.uniform(*_PAUSE), node, what, lasts)
