"""What aiohttp and sockets report, in our words: by kinds of errors, not by texts."""

from __future__ import annotations

import ssl

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from sentinel.adapters.http.arrival import NeverSent
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


FOREIGN = (aiohttp.ClientError, HttpProcessingError, NeverSent, OSError, ValueError)
"""What sockets, TLS and the parser of answers raise."""


def translate(error: BaseException) -> TargetError:
    """A socket's, a parser's or a TLS error in our words."""
    if isinstance(error, NeverSent):
        return _not_connected(error.__cause__)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return TargetUnreachable(
            "closed the connection without an answer", "is the process crashing on requests?"
        )
    if isinstance(error, HttpProcessingError):
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


def _not_connected(cause: BaseException | None) -> TargetError:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return judge_certificate(cause)
    if isinstance(cause, ssl.SSLError):
        return TargetRejected(
            f"TLS: {cause.strerror or cause}",
            "does the server speak TLS, and a version of this century?",
        )
    return unreachable(cause if isinstance(cause, OSError) else OSError(str(cause)))


def unusable(error: ValueError) -> TargetError:
    """An address that leads nowhere."""
    return NotMeasurable(
        f"not a usable address: {_short(str(error))}", "correct the address of this resource"
    )


def no_status(number: int) -> TargetError:
    """An answer whose status is a number that is none (RFC 9110 §15)."""
    return TargetRejected(
        f"not a valid answer: {number:03d} is no status",
        "look at what answers there: statuses go from 100 to 599",
        code="STATUS",
    )


def no_answer(number: int) -> TargetError:
    """So many times something before the answer (1xx, RFC 9110 §15.2), and no answer."""
    return TargetRejected(
        f"not a valid answer: {number} times 1xx, and none behind them",
        "look at what answers there: is it a proxy that goes on for ever?",
        code="STATUS",
    )


def _is_own_limit(error: BaseException) -> bool:
    """Whether the client library stopped reading a head because of its length, not of its form."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, LineTooLong) or "Too many headers" in str(cause):
            return True
        cause = cause.__cause__
    return False


def _malformed(error: HttpProcessingError) -> TargetError:
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
