"""What a scripted registry does for an image: what is right, and the faults between."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping

from mirror.oci.digest import Digest
from mirror.oci.media import OCI_MANIFEST
from tests.faults.content import MANIFESTS, Content, Part
from tests.mirror import scripted_peer
from tests.mirror.scripted_peer import Asked, Behaviour, answering, holding, late

Fault = Callable[[bytes], Behaviour]
"""How something with these bytes is served."""

Faults = Mapping[Part, Fault]

Action = Callable[[], object]
"""Something that happens to the cluster; may block."""

_OPEN_RANGE = re.compile(r"bytes=(\d+)-")
_FETCH_SECONDS = 20.0


def script(
    content: Content, faults: Faults, on_fault: Callable[[], object] = lambda: None
) -> Behaviour:
    """Serves an image as a registry does, but for the parts with a fault.

    Args:
        content: The image.
        faults: By part; the first that fits counts.
        on_fault: Called when a fault comes into play.
    """

    async def behave(asked: Asked) -> None:
        path = asked.target.partition("?")[0]
        if path == "/v2/":
            return await answering(200)(asked)
        found = content.at(path)
        if found is None:
            return await answering(404)(asked)
        part, data = found
        if match := _OPEN_RANGE.fullmatch(asked.headers.get("range", "")):
            asked.headers["range"] = f"bytes={match[1]}-{len(data) - 1}"
        for parts, fault in faults.items():
            if part in parts:
                on_fault()
                return await fault(data)(asked)
        return await right(part)(data)(asked)

    return behave


def right(part: Part) -> Fault:
    """Does all that it should."""
    headers = {"Content_Type": OCI_MANIFEST} if part in MANIFESTS else {}
    return lambda data: holding(data, **headers)


def always(behaviour: Behaviour) -> Fault:
    """A fault for which the bytes do not matter."""
    return lambda _: behaviour


async def resetting(asked: Asked) -> None:
    """Resets the connection instead of answering."""
    raise asked.reset()


def slowly(seconds: float, part: Part) -> Fault:
    """Answers late, and rightly."""
    return lambda data: late(seconds, right(part)(data))


def once(fault: Fault, part: Part) -> Fault:
    """Fails the first time that it is asked, for whatever it is."""
    left = [fault]

    def either(data: bytes) -> Behaviour:
        return (left.pop() if left else right(part))(data)

    return either


def when_asked(action: Action, part: Part) -> Fault:
    """Lets something happen before it answers, the first time."""

    def fault(data: bytes) -> Behaviour:
        async def behave(asked: Asked) -> None:
            await asyncio.to_thread(action)
            await right(part)(data)(asked)

        return behave

    return once(fault, part)


def halfway(action: Action, part: Part) -> Fault:
    """Lets something happen when half of the body is out, the first time; the rest follows."""

    def fault(data: bytes) -> Behaviour:
        async def behave(asked: Asked) -> None:
            body = await asked.ok(data)
            if asked.method == "HEAD":
                return
            count = len(body) // 2
            await asked.send(body[:count])
            await asyncio.sleep(0.1)  # for it to arrive
            await asyncio.to_thread(action)
            await asked.send(body[count:])

        return behave

    return once(fault, part)


def of_half(fault: Callable[[bytes, int], Behaviour]) -> Fault:
    """A fault that begins in the middle."""
    return lambda data: fault(data, len(data) // 2)


def trickling(data: bytes) -> Behaviour:
    """Sends half, then 1 kB a second."""
    return scripted_peer.trickling(data, 1024, 1.0, after=len(data) // 2)


def lying(where: int) -> Fault:
    """Sends wrong bytes.

    Args:
        where: Quarters of the way in which they are: 0 is the first byte, 4 the last.
    """
    return lambda data: scripted_peer.lying(data, min(len(data) * where // 4, len(data) - 1))


def sized(length: int) -> Fault:
    """A body of that many bytes more or less than it should have, told so rightly."""

    def fault(data: bytes) -> Behaviour:
        changed = data + bytes(length) if length > 0 else data[:length]
        return holding(changed, Docker_Content_Digest=Digest.of(data))

    return fault


def promised(difference: int) -> Fault:
    """The right body under a Content-Length that is wrong by so many bytes; then a clean close."""

    def fault(data: bytes) -> Behaviour:
        async def behave(asked: Asked) -> None:
            await asked.head(200, len(data) + difference, Docker_Content_Digest=Digest.of(data))
            if asked.method != "HEAD":
                await asked.send(data)
            raise asked.finish()

        return behave

    return fault


def cut_then(rest: Fault) -> Fault:
    """Cuts whole bodies in the middle, and answers ranges in its own way."""

    def fault(data: bytes) -> Behaviour:
        async def behave(asked: Asked) -> None:
            if asked.range is None:
                await scripted_peer.cut_after(data, len(data) // 2)(asked)
            else:
                await rest(data)(asked)

        return behave

    return fault


def ranged(content_range: str, status: int = 206) -> Fault:
    """Answers a range wrongly.

    Args:
        content_range: What it says, with `{first}`, `{last}` and `{size}` for what it should.
        status: Of that answer; 200 sends all of the body.
    """

    def fault(data: bytes) -> Behaviour:
        async def behave(asked: Asked) -> None:
            first, last = asked.range or (0, len(data) - 1)
            body = data if status == 200 else data[first : last + 1]
            told = content_range.format(first=first, last=last, size=len(data))
            headers = {"Content_Range": told} if told else {}
            await asked.head(status, len(body), **headers)
            await asked.send(body)

        return behave

    return fault


def chunked(data: bytes) -> Behaviour:
    """A body without a Content-Length, as proxies send it."""

    async def behave(asked: Asked) -> None:
        await asked.head(200, None, Transfer_Encoding="chunked")
        if asked.method != "HEAD":
            await asked.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))

    return behave
