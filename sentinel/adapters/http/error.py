"""What aiohttp and sockets report, in our words: by kinds of errors, not by texts."""

from __future__ import annotations

import aiohttp
from aiohttp.http_exceptions import LineTooLong

from sentinel.adapters.network.tcp import unreachable
from sentinel.adapters.network.tls import judge_certificate
from sentinel.errors import (
    NotMeasurable,
    TargetError,
    TargetRejected,
    TargetUnreachable,
    WrongTarget,
)

MAX_HEADERS = 1000
MAX_HEADER = 65536
"""Bytes of one line of a head, and of one header: ours to read, and four times what servers send."""


def translate(error: BaseException) -> TargetError:
    """An aiohttp or socket error in our words."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return judge_certificate(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return TargetRejected(
            f"TLS: {_cause(error)}", "does the server speak TLS, and a version of this century?"
        )
    if isinstance(error, aiohttp.InvalidURL):
        return NotMeasurable(
            f"not a usable address: {_short(str(error))}", "correct the address of this resource"
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return unreachable(error.os_error)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return TargetUnreachable(
            "closed the connection without an answer", "is the process crashing on requests?"
        )
    if isinstance(error, aiohttp.ClientResponseError):
        return _malformed(error)
    if isinstance(error, aiohttp.ClientPayloadError | ValueError):
        return TargetRejected(
            f"broken body: {_short(str(error))}", "the answer ended early or is malformed"
        )
    if isinstance(error, OSError):
        return unreachable(error)
    return TargetUnreachable(
        f"unreachable: {_short(str(error))}", "is the process running, and the address right?"
    )


def no_status(number: int) -> TargetError:
    """An answer whose status is a number that is none (RFC 9110 §15)."""
    return TargetRejected(
        f"not a valid answer: {number:03d} is no status",
        "look at what answers there: statuses go from 100 to 599",
        code="STATUS",
    )


def _cause(error: aiohttp.ClientConnectorError) -> str:
    return error.os_error.strerror or str(error.os_error)


def _is_own_limit(error: BaseException) -> bool:
    """Whether the client library stopped reading a head because of its length, not of its form."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, LineTooLong) or "Too many headers" in str(cause):
            return True
        cause = cause.__cause__
    return False


def _malformed(error: aiohttp.ClientResponseError) -> TargetError:
    text = _short(error.message)
    if _is_own_limit(error):
        return NotMeasurable(
            f"own limit: more than {MAX_HEADER} bytes in a header, or {MAX_HEADERS} headers",
            "look at the server's headers",
            code="HEADER",
        )
    if error.message.startswith("Bad status line"):
        return WrongTarget(
            f"not an HTTP server: {text}", "check the address: another kind of server answers there"
        )
    return TargetRejected(f"not a valid answer: {text}", "look at the server's headers")


def _short(text: str) -> str:
    return ascii(" ".join(text.split())[:200])
