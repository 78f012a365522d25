"""The pull API: GET and HEAD of manifests and blobs."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Callable
from contextlib import aclosing, nullcontext

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from mirror.errors import NotHere
from mirror.metrics import Metrics
from mirror.oci import media
from mirror.oci.digest import Digest
from mirror.oci.errors import (
    BlobUnknown,
    ManifestUnknown,
    NameUnknown,
    Unsupported,
)
from mirror.oci.ranges import RangeRequest, parse_range
from mirror.registry.policy import Policy
from mirror.registry.route import parse_target
from mirror.registry.sender import ChunkSender, ClientGone, send_file
from mirror.registry.uploads import Uploads
from mirror.transfer.client import DOUBT_HEADER, MIRRORED_HEADER
from mirror.transfer.found import Description, FileBody, Found, MemoryBody
from mirror.transfer.relay import BrokenOff
from mirror.transfer.transfer import Transfer
from mirror.transfer.wanted import Kind, Wanted

log = logging.getLogger("spegla.registry")

_SMALL = 64 * 1024
_free = nullcontext()
_ENCODED = re.compile(r"[%+&;]")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})


class PullApi:
    """Answers pull requests of this node's containerd and of peers.

    Peers mark theirs with `X-Spegel-Mirrored` and are answered from the store only, so that no
    request ever wanders; others are mirrored.
    """

    def __init__(
        self,
        transfer: Transfer,
        policy: Policy,
        metrics: Metrics,
        uploads: Uploads,
        *,
        expect: Callable[[Digest, str], None],
        doubt: Callable[[Digest], None],
    ) -> None:
        """Answers from `transfer` by the rules of `policy`.

        Args:
            transfer: Finds content.
            policy: What is given out.
            metrics: Counts.
            uploads: Slots for large bodies to other nodes.
            expect: Told which registry this node's own containerd pulls a digest from, so that
                the blob can be shared at its commit, before containerd has labelled it.
            doubt: Told what a peer got wrong bytes of from here.
        """
        self._transfer = transfer
        self._policy = policy
        self._metrics = metrics
        self._uploads = uploads
        self._expect = expect
        self._doubt = doubt

    def version(self, request: web.BaseRequest) -> web.StreamResponse:
        """`/v2/`: this is a registry."""
        _check_method(request)
        return web.json_response({}, headers={"Docker-Distribution-Api-Version": "registry/2.0"})

    async def pull(self, request: web.BaseRequest) -> web.StreamResponse:
        """`/v2/<repository>/(manifests|blobs)/<reference>`."""
        _check_method(request)
        wanted = parse_target(request.path, _registry_of(request) or self._policy.default_registry)
        mirrored = MIRRORED_HEADER in request.headers
        if not self._policy.covers(wanted.registry):
            raise NameUnknown(f"registry {wanted.registry!r} is not mirrored here")
        if wanted.tag == "latest" and not self._policy.latest:
            raise ManifestUnknown(f"{wanted.name}: latest is left to the upstream")
        if not mirrored and wanted.digest is not None and request.remote in _LOOPBACK:
            # From loopback only: nobody else may say what content of this node belongs to.
            self._expect(wanted.digest, wanted.registry)
        if mirrored and wanted.digest is not None and DOUBT_HEADER in request.headers:
            self._doubt(wanted.digest)
        try:
            response = await self._answer(request, wanted, local_only=mirrored)
        except NotHere as error:
            if not mirrored:
                self._metrics.mirrored(wanted.registry, hit=False)
            unknown = BlobUnknown if wanted.kind is Kind.BLOB else ManifestUnknown
            raise unknown(str(error)) from error
        if not mirrored:
            self._metrics.mirrored(wanted.registry, hit=True)
        return response

    async def _answer(
        self, request: web.BaseRequest, wanted: Wanted, *, local_only: bool
    ) -> web.StreamResponse:
        if request.method == "HEAD":
            if local_only:
                return _head(request, self._transfer.held(wanted))
            return _head(request, await self._transfer.describe(wanted))
        asked = _asked_range(request, wanted)
        if local_only:
            found = self._transfer.open_held(wanted, asked)
        else:
            found = await self._transfer.open(wanted, asked)
        try:
            if _not_modified(request, found.description):
                return web.Response(status=304, headers=_headers(found.description))
            slot = self._uploads.slot() if local_only and found.span.length > _SMALL else _free
            with slot:
                return await self._send(request, found, partial=asked is not None)
        finally:
            found.release()

    async def _send(
        self, request: web.BaseRequest, found: Found, *, partial: bool
    ) -> web.StreamResponse:
        headers = _headers(found.description)
        if partial:
            headers["Content-Range"] = found.span.content_range(found.description.size)
        status = 206 if partial else 200
        sent = self._metrics.sent[found.description.source.value]
        if found.span.length <= _SMALL and (data := await _small_body(found)) is not None:
            sent.inc(len(data))
            return web.Response(status=status, headers=headers, body=data)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = found.span.length
        try:
            writer = await response.prepare(request)
            if writer is not None:
                await _stream(request, writer, found)
            sent.inc(found.span.length)
        except (BrokenOff, ClientGone, OSError) as error:
            # The headers are out, or nobody is there to read them: a clean close is all that is
            # left, and containerd resumes.
            log.warning("%s to %s: %s", found.description.digest, request.remote, error)
            response.force_close()
        except Exception:
            # Never an error response from here on: it would be taken for bytes of the body.
            log.exception("%s to %s failed", found.description.digest, request.remote)
            response.force_close()
        return response


async def _small_body(found: Found) -> bytes | None:
    """A body that goes out in one piece with its headers; None when it is still coming."""
    if isinstance(found.body, MemoryBody):
        return bytes(found.body.data)
    if isinstance(found.body, FileBody):
        data = await found.body.blob.read(found.span.start, found.span.length)
        if len(data) != found.span.length:
            raise OSError(errno.EIO, f"{found.description.digest} is shorter than it was")
        return data
    return None


async def _stream(request: web.BaseRequest, writer: AbstractStreamWriter, found: Found) -> None:
    if isinstance(found.body, FileBody):
        await send_file(request, writer, found.body.blob, found.span)
        return
    sender = await ChunkSender.open(request, writer)
    try:
        if isinstance(found.body, MemoryBody):
            await sender.send(found.body.data)
            return
        async with aclosing(found.body.chunks()) as chunks:
            async for chunk in chunks:
                await sender.send(chunk)
    finally:
        sender.close()


def _registry_of(request: web.BaseRequest) -> str | None:
    """The query's `ns`; the common form is read without parsing a URL."""
    query = request.rel_url.raw_query_string
    if query.startswith("ns=") and not _ENCODED.search(query):
        return query[3:]
    return request.query.get("ns")


def _asked_range(request: web.BaseRequest, wanted: Wanted) -> RangeRequest | None:
    condition = request.headers.get("If-Range")
    if condition is not None and wanted.digest is not None and condition != f'"{wanted.digest}"':
        return None
    return parse_range(request.headers.get("Range"))


def _head(request: web.BaseRequest, description: Description) -> web.Response:
    headers = _headers(description)
    if _not_modified(request, description):
        return web.Response(status=304, headers=headers)
    headers["Content-Length"] = str(description.size)
    return web.Response(headers=headers)


def _headers(description: Description) -> dict[str, str]:
    return {
        "Accept-Ranges": "bytes",
        "Content-Type": description.media_type or media.OCTET_STREAM,
        "Docker-Content-Digest": description.digest,
        "Docker-Distribution-Api-Version": "registry/2.0",
        "ETag": f'"{description.digest}"',
    }


def _not_modified(request: web.BaseRequest, description: Description) -> bool:
    known = request.headers.get("If-None-Match")
    if known is None:
        return False
    return known.strip() == "*" or f'"{description.digest}"' in known


def _check_method(request: web.BaseRequest) -> None:
    if request.method not in ("GET", "HEAD"):
        raise Unsupported(f"{request.method} is not served: this registry is for pulling only")
