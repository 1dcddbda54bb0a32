"""What PostgreSQL and its client library report, in our words: a server by SQLSTATE, never by its
text.
"""

from __future__ import annotations

import re

import psycopg

from sentinel.adapters.postgres.start import UNREADABLE, read_state
from sentinel.errors import (
    NotMeasurable,
    SubjectError,
    TargetError,
    TargetRejected,
    TargetStarting,
    TargetUnreachable,
    WrongTarget,
)

_ENTRY = "check user and password of this resource, and sentinel's lines of pg_hba.conf"
_AT_START = {
    "28P01": ("credentials refused", _ENTRY),
    "28000": ("not admitted", _ENTRY),
    "3D000": ("no such database", "check the address of this resource"),
    "08P01": (
        "a pooler refuses the session",
        "connect to the server itself, not through a pooler",
    ),
    UNREADABLE: ("refused for a reason that could not be read", "read the server's log"),
    "42501": ("privilege missing", "grant the privilege that the message names"),
    "53300": ("no connection left", "find who holds the connections"),
}
"""Our side, by SQLSTATE: what a server says is in its own language."""
_MISSING = {
    "42P01": "no such table or view",
    "42703": "no such column",
    "42883": "no such function or operator for these types",
    "42704": "no such object",
    "3F000": "no such schema",
}
_EMPTY = "no error message available"
"""libpq's word for an error of the server in which nothing stands."""
_WAIT = "wait: the server starts or recovers"
_RUNNING = "is the server running, and the address right?"


def translate(error: BaseException) -> TargetError:
    """A psycopg or socket error in our words; the SQLSTATE becomes `code`."""
    state = _find_state(error)
    text = _in_one_line(str(error)) or type(error).__name__
    if state:
        return _by_state(state, text)
    if isinstance(error, TimeoutError | psycopg.errors.ConnectionTimeout):
        return TargetUnreachable(
            f"no answer in time: {text}", "is the server frozen, or the network black-holed?"
        )
    return _by_text(text)


def _in_one_line(text: str) -> str:
    """Without the line of the statement that a caret points at: it points nowhere in one line."""
    lines = text.splitlines()
    carets = {n for n, line in enumerate(lines) if line.strip() == "^"}
    kept = [line for n, line in enumerate(lines) if not carets & {n, n + 1}]
    return " ".join(" ".join(kept).split())


def _find_state(error: BaseException) -> str:
    """The SQLSTATE; UNREADABLE when the server sent an error without one, "" when it sent none."""
    if not isinstance(error, psycopg.Error):
        return ""
    if error.sqlstate:
        return read_state(error.sqlstate)
    said = (error.diag.severity, error.diag.message_primary)
    is_servers = any(part is not None for part in said) or _EMPTY in str(error)
    return UNREADABLE if is_servers else ""


def _by_state(state: str, text: str) -> TargetError:
    if state in _MISSING:
        return SubjectError(
            f"{_MISSING[state]}: {text}",
            "correct the name, write it with its schema (public.NAME), or grant USAGE",
            code=state,
        )
    if state == "22023":  # our own words, not the platform's rows: such as a zone that we know
        return SubjectError(
            f"the server does not take a value of the check: {text}",
            "correct it; the zones that this server knows are those of pg_timezone_names",
            code=state,
        )
    if state in _AT_START:
        prefix, guidance = _AT_START[state]
        return NotMeasurable(f"{prefix}: {text}", guidance, code=state)
    if state == "57P03":
        return TargetStarting(f"starting or shutting down: {text}", _WAIT, code=state)
    if state in {"57014", "55P03"}:
        return NotMeasurable(
            f"stopped at our own limit: {text}",
            "look for locks (pg_blocking_pids) or a missing index",
            code=state,
        )
    if state.startswith("57P"):
        return TargetUnreachable(f"connection ended by the server: {text}", code=state)
    return TargetRejected(text, code=state)


# What libpq says of itself, in English always: no catalog of its words is loaded. (words, make,
# prefix, guidance)
_TEXTS: list[tuple[tuple[str, ...], type[TargetError], str, str]] = [
    (
        ("no password supplied", "authentication method requirement", "password retrieved from file"),
        NotMeasurable, "credentials refused", "check user and password of this resource",
    ),
    (
        ("session is read-only", "session is not read-only", "server is in hot standby mode",
         "server is not in hot standby mode"),
        TargetUnreachable, "no server as target_session_attrs asks", "which of the servers is the primary?",
    ),
    (
        ("invalid response", "expected authentication request", "received invalid",
         "got no result from the query", "do not agree with length", "lost synchronization with server",
         "unexpected response from server", "without prior row description", "protocol error: ",
         "insufficient data in", "extraneous data in", "unexpected field count in"),
        WrongTarget, "not a PostgreSQL server", "check the address: another kind of server answers there",
    ),
    (
        ("none of the server's SASL authentication mechanisms", "authentication method"),
        NotMeasurable, "no way to sign in", "sentinel signs in by password (SCRAM, MD5), certificate or trust",
    ),
    (
        ("certificate", "SSL", "GSSAPI", "private key file", "channel binding"),
        NotMeasurable, "TLS", "set sslmode and sslrootcert of this resource as the server needs them",
    ),
]  # fmt: skip


def _by_text(text: str) -> TargetError:
    for words, make, prefix, guidance in _TEXTS:
        if any(word in text for word in words):
            code = "28P01" if prefix == "credentials refused" else ""
            return make(f"{prefix}: {text}", guidance, code=code)
    return TargetUnreachable(f"unreachable: {_shorten(text)}", _RUNNING)


def _shorten(text: str) -> str:
    """The cause before the address, as for every other target, where libpq asked one server."""
    found = _NOT_CONNECTED.fullmatch(text)
    if not found:
        return text
    host, port, cause = found.groups()
    return f"{cause} ([{host}]:{port})" if ":" in host else f"{cause} ({host}:{port})"


_NOT_CONNECTED = re.compile(
    r'(?:connection failed: )?connection to server at "([^"\s]+)"(?: \([^()\s]+\))?, port (\d+) failed:'
    r" ([^?\"]+?)(?:\s+Is the server running [^?\"]*\?)?\s*"
)
