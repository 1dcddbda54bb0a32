"""The page and its stream of changes over HTTP."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import aclosing, suppress

from aiohttp import web

from sentinel.core.access import AccessScope
from sentinel.web.access import KEEPER, present_caller
from sentinel.web.exposition import accepts_gzip
from sentinel.web.live.paint import paint_page
from sentinel.web.site import SITE
from sentinel.web.visitor import Visitor

TAKEN_WITHIN = 20.0
"""Seconds within which a message is to be taken: after that somebody begins anew, with what is then."""
LASTS = 900.0
"""Seconds after which a stream ends and is asked for again."""
LOOK_AGAIN = 1.0
"""Seconds after which a stream asks again whether its caller may still read."""
PACKING = 4


async def show_status(request: web.Request) -> web.Response:
    """The status page, complete without JavaScript."""
    site = request.app[SITE]
    page, mark = await site.live.show()
    now, may = site.now(), present_caller()
    packed = accepts_gzip(request.headers.get("Accept-Encoding", ""))

    def make() -> bytes:
        text = paint_page(site.templates, page, mark, now, may)
        return gzip.compress(text, PACKING) if packed else text

    body = await site.readers.call(make)
    headers = {"Vary": "Accept-Encoding"} | ({"Content-Encoding": "gzip"} if packed else {})
    return web.Response(body=body, content_type="text/html", charset="utf-8", headers=headers)


async def follow_status(request: web.Request) -> web.StreamResponse:
    """Everything that changes on the status page, as server-sent events: `?after=MARK`, or the
    header Last-Event-ID of who comes back.
    """
    site = request.app[SITE]
    if not site.live.is_live:
        raise web.HTTPServiceUnavailable(text="nobody tells here what changes")
    headers = {"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        return web.Response(headers=headers)
    visitor = request.protocol
    if isinstance(visitor, Visitor) and not visitor.follow():
        raise web.HTTPServiceUnavailable(text="too many pages are open: this one asks now and then")
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    mark = request.headers.get("Last-Event-ID") or request.query.get("after", "")
    with suppress(TimeoutError, ConnectionError):  # it comes again with what it has seen
        async with asyncio.timeout(LASTS):
            await _tell(request, response, mark)
    if isinstance(visitor, Visitor):
        visitor.end_following()
    return response


async def _tell(request: web.Request, response: web.StreamResponse, mark: str) -> None:
    """Everything since a mark, for as long as who asked may read: a token may be revoked, a session
    may end, and the rules of access may change meanwhile.
    """
    loop, keeper = asyncio.get_running_loop(), request.app[KEEPER]
    looked = loop.time()
    async with aclosing(request.app[SITE].live.follow(mark)) as messages:
        async for message in messages:
            if loop.time() - looked >= LOOK_AGAIN:
                looked = loop.time()
                if not await keeper.still_may(request, AccessScope.READ):
                    return
            if not await _send(response, message):
                return


async def _send(response: web.StreamResponse, message: bytes) -> bool:
    """It waits until what was sent before is on its way: nothing piles up for who is slow. False when
    that takes too long.
    """
    try:
        async with asyncio.timeout(TAKEN_WITHIN):
            await response.write(message)
    except TimeoutError:
        return False
    return True


async def end_streams(app: web.Application) -> None:
    """Sentinel ends: nobody is kept for a last word."""
    await app[SITE].live.close()
