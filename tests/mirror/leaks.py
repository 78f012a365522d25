"""Whether something is left behind: tasks and sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.mirror.loopback import until


def open_files() -> int:
    """Sockets and files on disk that this process has open."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        count += target.startswith(("socket:", "/tmp"))
    return count


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Fails when tasks or descriptors that came up inside are still there a moment later."""
    tasks, files = asyncio.all_tasks(), open_files()
    yield
    tasks |= {task for task in (asyncio.current_task(),) if task is not None}
    await until(lambda: asyncio.all_tasks() <= tasks and open_files() <= files, 2.0)
