"""`python -m benchmarks.swarm_node IP FOLDER BOOTSTRAP`: one `p2p.node.Node` that takes orders.

Orders are lines on stdin, answers JSON lines on stdout; the end of stdin ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import uvloop

from p2p.node import Node
from p2p.provider import Provider
from p2p.settings import Limits, Settings

PORT = 5001

_SWITCH_SECONDS = 0.001  # as mirror.agent sets it
_TIMEOUT = 2.0
# All of 127.0.0.0/8 is dialled from 127.0.0.1.
_LIMITS = Limits(connections_per_address=1000)


class Forgetful(Node):
    """A node that passes over its own records, so that each lookup goes through the network."""

    def known(self, key: str) -> list[Provider]:
        """Nobody."""
        return []


async def serve(ip: str, folder: Path, bootstrap: Sequence[str]) -> None:
    """Runs a node that obeys stdin.

    Orders: `provide PREFIX COUNT` (times of its start and end), `all PREFIX COUNT` (the time when
    it had records of all), `find PREFIX COUNT` (seconds of each lookup; null: not found), `peers`
    (how many answer).
    """
    settings = Settings(
        data_dir=folder,
        port=PORT,
        listen=(ip,),
        announce=(ip,),
        bootstrap=tuple(bootstrap),
        limits=_LIMITS,
    )
    kind = Forgetful if "forgetful" in folder.name else Node
    async with kind(settings) as node:
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await obey(node, line.split())), flush=True)


async def obey(node: Node, words: list[str]) -> object:
    """The answer to one order."""
    match words:
        case ["provide", prefix, count]:
            started = time.monotonic()
            await node.provide(keys(prefix, int(count)))
            return [started, time.monotonic()]
        case ["all", prefix, count]:
            return await _all_known(node, keys(prefix, int(count)))
        case ["find", prefix, count]:
            return [await _seconds_to_find(node, key) for key in keys(prefix, int(count))]
        case ["peers"]:
            return node.stats().peers_up
    raise ValueError(f"no such order: {words}")


def keys(prefix: str, count: int) -> list[str]:
    """Keys of one kind."""
    return [f"{prefix}-{number}" for number in range(count)]


async def _all_known(node: Node, wanted: list[str]) -> float:
    """The time (`time.monotonic()`, which all processes share) when none was missing any more."""
    missing = wanted
    # What is known is told only when asked for.
    while missing := [key for key in missing if not node.known(key)]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return time.monotonic()


async def _seconds_to_find(node: Node, key: str) -> float | None:
    started = time.perf_counter()
    async with aclosing(node.providers(key, _TIMEOUT)) as providers:
        async for _ in providers:
            return time.perf_counter() - started
    return None


if __name__ == "__main__":
    sys.setswitchinterval(_SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
