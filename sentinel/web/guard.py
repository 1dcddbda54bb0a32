"""What stands before and behind every page: exact hosts, limits, headers, errors as JSON for
programs.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext, suppress
from typing import TypeGuard

from aiohttp import web

from sentinel.core.access import NOBODY, AccessScope, Caller
from sentinel.core.foreign.host import WEB_PORTS, HostName, NoHost, is_unspecified, read_host
from sentinel.core.foreign.visible import make_visible
from sentinel.errors import StateError
from sentinel.web.access import (
    KEEPER,
    SAFE,
    AccessDenied,
    Keeper,
    calling,
    check_origin,
    check_scope,
    find_own_host,
    note_denial,
)
from sentinel.web.answer import dress
from sentinel.web.signing import refuse_page
from sentinel.web.site import SITE
from sentinel.web.visitor import MAX_BODY

REQUEST_SECONDS = 9.0
"""For the making of an answer: a little less than a visitor has for all of its request."""
SHORT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ENOSPC, errno.EIO}
"""What the system may be short of, or unable to read: no mistake of ours, and it may pass."""
HELP = {
    400: ("This address asks for what there is not", "Mend it, or begin anew from a page above."),
    404: (
        "Not here",
        "Checks and components that were taken out of the configuration have no page any more, and"
        " incidents are forgotten after the retention. The pages above list what there is.",
    ),
    403: ("Not for you", "Sign in with a token that may, or ask who runs sentinel for one."),
    405: ("Not allowed", "Go back to the page that you came from, and use its form."),
    409: ("Refused", "Nothing was done. Go back: the page says what holds it up."),
    429: ("Too many tries", "Wait a minute, then sign in again."),
    503: ("Not now", "Load this page again in a few seconds."),
}
"""Errors that a person meets: title, and the way on."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
STREAM = "/api/v1/stream"
"""The one answer that has no end."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def listen_hosts(host: str, port: int) -> tuple[HostName, ...]:
    """The hosts that name a daemon on `host`:`port`: that address, and loopback under its names.
    On the usual port of the web clients leave it out.
    """
    own = host.lower().removesuffix(".")
    names = dict.fromkeys([*([] if is_unspecified(own) else [own]), *LOOPBACK])
    return tuple(HostName(name, None if port in WEB_PORTS else port) for name in names)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Security headers on every answer, also on errors. Whoever sends a body is not listened to any
    longer: what follows could be taken for another request.
    """
    dress(response)
    if request.body_exists:
        response.headers["Connection"] = "close"
        response.force_close()


@web.middleware
async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """421 for any Host that is not on the list: a name that somebody rebinds to us reads nothing."""
    named = request.headers.getall("Host", [])
    if request.raw_path[:1] not in {"/", "*"}:  # it names a host of its own, which comes first
        named += [request.url.raw_authority]
    if not named or not all(is_served(text, find_served(request)) for text in named):
        return make_error(
            request,
            421,
            "this Host is not served here: use the address that sentinel listens on, or, behind a"
            " proxy that keeps Host, name it in `trusted_hosts`",
        )
    return await handler(request)


def find_served(request: web.Request) -> list[HostName]:
    """The hosts that may be named: those that are configured, and the address itself that was
    connected to.
    """
    served = list(request.app[SITE].hosts())
    with suppress(NoHost):
        served.append(read_host(find_own_host(request)))
    return served


@web.middleware
async def check_access(request: web.Request, handler: Handler) -> web.StreamResponse:
    """401 for who is not known, 403 for who may not, and for what another site has a browser send.
    Whoever may comes with the scope and the name that the pages are made for.
    """
    keeper = request.app[KEEPER]
    needed = keeper.find_need(request)
    try:
        caller = await _identify(keeper, request, needed)
        check_origin(request, caller, lambda text: is_served(text, find_served(request)))
        check_scope(caller, needed)
    except AccessDenied as denied:
        note_denial(request, denied)
        return refuse_page(request, denied) or _refuse(request, denied)
    with calling(caller):
        return await handler(request)


async def _identify(keeper: Keeper, request: web.Request, needed: AccessScope) -> Caller:
    """Where everybody may enter, a wrong token is counted, and is no reason to keep them out."""
    try:
        return await keeper.identify(request)
    except AccessDenied as denied:
        if needed is not AccessScope.OPEN:
            raise
        note_denial(request, denied)
        return NOBODY


def _refuse(request: web.Request, denied: AccessDenied) -> web.Response:
    response = make_error(request, denied.status, denied.message)
    if denied.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="sentinel"'
    if denied.status == 429:
        response.headers["Retry-After"] = "60"
    return response


def is_short(error: BaseException | None) -> TypeGuard[OSError]:
    """Whether the system is short of something, which may pass."""
    return isinstance(error, OSError) and error.errno in SHORT_OF


def is_served(text: str, served: Iterable[HostName]) -> bool:
    """Whether a Host names one of these."""
    try:
        asked = read_host(text)
    except NoHost:
        return False
    return any(host.covers(asked) for host in served)


@web.middleware
async def refuse_large(request: web.Request, handler: Handler) -> web.StreamResponse:
    """413 for a body over the limit. Nobody reads one, but nobody waits for its end, either."""
    if (request.content_length or 0) > MAX_BODY:
        return make_error(request, 413, f"a body may have {MAX_BODY} bytes")
    return await handler(request)


@web.middleware
async def explain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """404, 405, a store that can't be read and a system that gives nothing more, as JSON under /api
    and as plain text elsewhere.
    """
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        response = make_error(request, error.status, "this method is not allowed here")
        response.headers["Allow"] = error.headers["Allow"]
        return response
    except web.HTTPException as error:
        if error.status < 400:
            raise
        is_said = error.text not in {None, f"{error.status}: {error.reason}"}
        return make_error(request, error.status, (error.text if is_said else "") or error.reason)
    except StateError as error:
        return make_error(request, 503, error.message)
    except OSError as error:
        if not is_short(error):
            raise
        return make_error(request, 503, f"the system refuses: {error.strerror}")


@web.middleware
async def limit_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Each answer is made within REQUEST_SECONDS, and few at a time: a flood waits for its turn,
    while the loop does everything else.
    """
    if request.path == STREAM:  # it has no end, and costs a turn only when something changes
        return await handler(request)
    turns = request.app[SITE].turns if request.method in SAFE else nullcontext()
    try:  # a body may come slowly: it takes nobody's turn
        async with asyncio.timeout(REQUEST_SECONDS), turns:
            return await handler(request)
    except TimeoutError:
        return make_error(request, 503, f"not done within {REQUEST_SECONDS:.0f} s")


MIDDLEWARES = (limit_time, check_host, check_access, refuse_large, explain_errors)


def make_error(request: web.Request, status: int, message: str) -> web.Response:
    """An error for a program or for a person, who may have sent a form to the API."""
    is_person = request.method == "POST" and "text/html" in request.headers.get("Accept", "")
    if request.path.startswith("/api/") and not is_person:
        return web.json_response({"error": message, "status": status}, status=status)
    if status in HELP and "text/html" in request.headers.get("Accept", ""):
        title, way_on = HELP[status]
        page = request.app[SITE].templates.get_template("error.html.j2")
        shown = make_visible(message)
        text = page.render(status=status, title=title, message=shown, help=way_on)
        return web.Response(text=text, status=status, content_type="text/html")
    return web.Response(text=f"{status}: {message}\n", status=status)
