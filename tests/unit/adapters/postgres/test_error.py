"""What libpq and psycopg say of an answer that is none: garbage is never an outage."""

from __future__ import annotations

import psycopg
import pytest

from sentinel.adapters.postgres.error import translate
from sentinel.core.fault import Status


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("received invalid error message", "not a PostgreSQL server"),
        ("received invalid protocol negotiation message: …", "not a PostgreSQL server"),
        ("got no result from the query", "not a PostgreSQL server"),
        ("authentication method 99 not supported", "no way to sign in"),
        (
            "none of the server's SASL authentication mechanisms are supported",
            "no way to sign in",
        ),
    ],
)
def test_what_no_server_would_say_is_unknown(text: str, prefix: str) -> None:
    """So is a way to sign in that we do not know: the server answers."""
    error = translate(psycopg.OperationalError(f"connection failed: {text}"))
    assert error.status is Status.UNKNOWN
    assert error.message.startswith(prefix)


def test_a_missing_name_says_how_it_is_written() -> None:
    """In one line, without the statement that a caret would point at; names need their schema."""
    text = 'relation "rows" does not exist\nLINE 1: select count(*) from rows\n             ^'
    error = translate(psycopg.errors.UndefinedTable(text))
    assert error.message == 'no such table or view: relation "rows" does not exist'
    assert "with its schema" in error.guidance


def test_who_hangs_up_is_down() -> None:
    """It is no garbage."""
    error = translate(psycopg.OperationalError("server closed the connection unexpectedly"))
    assert error.status is Status.DOWN


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'connection to server at "10.0.0.9", port 5432 failed: Connection refused\n'
            "\tIs the server running on that host and accepting TCP/IP connections?",
            "unreachable: Connection refused (10.0.0.9:5432)",
        ),
        (
            'connection failed: connection to server at "db" (::1), port 5 failed: No route to host',
            "unreachable: No route to host (db:5)",
        ),
        (
            'connection to server at "::1", port 5432 failed: Connection refused',
            "unreachable: Connection refused ([::1]:5432)",
        ),
        ("the connection is lost", "unreachable: the connection is lost"),
    ],
)
def test_the_cause_stands_before_the_address(text: str, said: str) -> None:
    """As for every other target, and without the question of libpq; two servers stay as told."""
    assert translate(psycopg.OperationalError(text)).message == said
    two = translate(psycopg.OperationalError(f"{text}\n{text}")).message
    assert " ".join(text.split()) in two
