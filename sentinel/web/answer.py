"""What every answer carries, whoever makes it: the application, the parser that refuses a request,
the door that has no room.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)
"""Reports are self-contained files with their style inside; nothing in them may run."""

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SERVER = "sentinel"


def dress(response: web.StreamResponse) -> None:
    """Put the security headers on an answer; a handler's own value stays."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = SERVER


def make_refusal(status: int, message: str) -> web.Response:
    """One line of text with every header, after which the connection ends."""
    response = web.Response(text=f"{status}: {message}\n", status=status)
    dress(response)
    response.headers["Connection"] = "close"
    response.force_close()
    return response


def write_refusal(status: int, message: str) -> bytes:
    """The same as bytes, for who never came as far as the application."""
    body = f"{status}: {message}\n".encode()
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(body)),
        **SECURITY_HEADERS,
        "Server": SERVER,
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
