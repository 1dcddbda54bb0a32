"""What stands before and behind every page: exact hosts, limits, headers, errors as JSON for
programs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from sentinel.errors import StateError
from sentinel.web.site import SITE

MAX_REQUESTS = 100
REQUEST_SECONDS = 10.0
MAX_BODY = 64 * 1024
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)
"""Reports are self-contained files with their style inside; nothing in them may run."""

_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def listen_hosts(host: str, port: int) -> frozenset[str]:
    """The Host headers that name a daemon on `host`:`port`: that address, and loopback under its
    names.
    """
    names = {
        "127.0.0.1",
        "localhost",
        "[::1]",
        f"[{host}]" if ":" in host and host[0] != "[" else host,
    }
    return frozenset(f"{name.lower()}:{port}" for name in names)


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Security headers on every answer, also on errors; a handler's own value stays."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "sentinel"


@web.middleware
async def check_host(request: web.Request, handler: Handler) -> web.StreamResponse:
    """421 for any Host that is not on the list: a name that somebody rebinds to us reads nothing."""
    if request.headers.get("Host", "").lower() not in request.app[SITE].allowed_hosts:
        return _error(
            request, 421, "this Host is not served here: use the address that sentinel listens on"
        )
    return await handler(request)


@web.middleware
async def explain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """404, 405 and a store that can't be read, as JSON under /api and as plain text elsewhere."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        response = _error(
            request,
            error.status,
            f"{request.method} is not allowed: sentinel's pages are read-only",
        )
        response.headers["Allow"] = error.headers["Allow"]
        return response
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _error(request, error.status, error.text or error.reason)
    except StateError as error:
        return _error(request, 503, error.message)


def limit_load() -> Middleware:
    """At most MAX_REQUESTS at a time, each for at most REQUEST_SECONDS."""
    running = 0

    @web.middleware
    async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal running
        if running >= MAX_REQUESTS:
            return _error(request, 503, "too many requests at a time")
        running += 1
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await handler(request)
        except TimeoutError:
            return _error(request, 503, f"not done within {REQUEST_SECONDS:.0f} s")
        finally:
            running -= 1

    return limit


def _error(request: web.Request, status: int, message: str) -> web.Response:
    if request.path.startswith("/api/"):
        return web.json_response({"error": message, "status": status}, status=status)
    return web.Response(text=f"{status}: {message}\n", status=status)
