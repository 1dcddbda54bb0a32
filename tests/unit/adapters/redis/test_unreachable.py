"""What a person reads of a Redis that could not be connected."""

from __future__ import annotations

import errno

from redis import exceptions as rx

from sentinel.adapters.redis.client import translate
from sentinel.errors import TargetUnreachable


def _fail(text: str, cause: OSError | None) -> rx.ConnectionError:
    """The client library's error, raised while it handled the socket's."""
    error = rx.ConnectionError(text)
    error.__context__ = cause
    return error


def test_a_refused_connection_is_said_in_the_words_of_the_system() -> None:
    """Cause and address once, not the library's and asyncio's words for the same thing."""
    said = "Connect call failed ('127.0.0.1', 7391)"
    error = translate(
        _fail(
            f"Error 111 connecting to bus.example:7391. {said}.", OSError(errno.ECONNREFUSED, said)
        )
    )
    assert isinstance(error, TargetUnreachable)
    assert error.message == "unreachable: Connection refused (bus.example:7391)"


def test_what_has_no_errno_keeps_its_words() -> None:
    """Several addresses, or a server that hung up: the library's sentence is all there is."""
    many = "Error connecting to localhost:1. Multiple exceptions: …"
    assert translate(_fail(many, OSError("Multiple exceptions"))).message.endswith(many)
    closed = "Connection closed by server."
    assert translate(_fail(closed, None)).message == f"unreachable: {closed}"
