"""Opening a PostgreSQL session with libpq, and learning by which SQLSTATE a server refuses one.

libpq tells no SQLSTATE of a failed start, only the server's text, in the server's language. So its
socket is looked at (not read) before libpq reads it; behind TLS libpq's own trace is asked.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import ClassVar

import psycopg
from psycopg import pq
from psycopg.pq.abc import PGconn

_SEEN = 65536
_TRACES = 256
"""libpq's trace costs 5 kB that nobody gives back: so many in a process, then by the text alone."""
_ERROR_TRACED = b"ErrorResponse"
_TRACED = re.compile(rb'ErrorResponse\b.*?\sC "([0-9A-Z]{5})"', re.DOTALL)
_STATE = re.compile(r"[0-9A-Z]{5}")
_SERVER_SAID = re.compile(r"(?:^|failed: |\n)\S+:  ")
"""libpq puts two blanks behind a server's severity, in whichever language; its own words have one."""
UNREADABLE = "?????"
"""Stands for a SQLSTATE that was not seen, not sent, or that is none."""


async def start_session(conninfo: str) -> PGconn:
    """A connection that is ready; psycopg.OperationalError, with its `sqlstate` if the server
    refused. The caller bounds the time, and cancels.
    """
    pgconn = pq.PGconn.connect_start(conninfo.encode())
    watch = _Watch()
    try:
        await _poll(pgconn, watch)
    except BaseException:
        watch.end(pgconn)
        pgconn.finish()
        raise
    watch.end(pgconn)
    pgconn.nonblocking = 1
    return pgconn


async def _poll(pgconn: PGconn, watch: _Watch) -> None:
    while True:
        status = (
            pq.PollingStatus(pgconn.connect_poll()) if pgconn.status != pq.ConnStatus.BAD else None
        )
        if status is pq.PollingStatus.OK:
            return
        if status is pq.PollingStatus.READING:
            await _ready(pgconn.socket, reading=True)
            watch.look(pgconn)
        elif status is pq.PollingStatus.WRITING:
            await _ready(pgconn.socket, reading=False)
        else:
            raise _refused(pgconn, watch)


def _refused(pgconn: PGconn, watch: _Watch) -> psycopg.OperationalError:
    text = pgconn.error_message.decode("utf-8", "replace").strip()
    watch.end(pgconn)
    error = psycopg.OperationalError(text)
    if watch.refused or _SERVER_SAID.search(text):
        error.sqlstate = watch.learn(text)
    return error


class _Watch:
    """Keeps whether a server sent an error while a session starts, and the SQLSTATE of the last."""

    traces = _TRACES
    texts: ClassVar[dict[str, str]] = {}
    """What was said behind TLS, and its SQLSTATE: heard once, it needs no trace."""
    understood = False

    def __init__(self) -> None:
        self.state, self.refused = "", False
        self._pipe: tuple[int, int] | None = None

    def look(self, pgconn: PGconn) -> None:
        """Look at what libpq is about to read."""
        if pgconn.ssl_in_use:
            self._trace(pgconn)
            return
        with suppress(OSError), socket.socket(fileno=os.dup(pgconn.socket)) as peer:
            seen = peer.recv(_SEEN, socket.MSG_PEEK)
            self.state = find_state(seen) or self.state
            self.refused |= holds_error(seen)

    def _trace(self, pgconn: PGconn) -> None:
        if self._pipe is None and _Watch.traces > 0 and not _Watch.understood:
            _Watch.traces -= 1
            self._pipe = os.pipe()
            for end in self._pipe:
                os.set_blocking(end, False)
            pgconn.trace(self._pipe[1])

    def learn(self, text: str) -> str:
        """The SQLSTATE of a refusal: seen now, or with the same text before."""
        if self.state and len(_Watch.texts) < _TRACES:
            _Watch.texts[text] = self.state
        state = self.state or _Watch.texts.get(text, "")
        _Watch.understood = bool(state)
        return state or UNREADABLE

    def end(self, pgconn: PGconn) -> None:
        """Read what was traced, and stop."""
        pipe, self._pipe = self._pipe, None
        if pipe is None:
            return
        pgconn.untrace()
        with suppress(OSError):
            traced = os.read(pipe[0], _SEEN)
            found = _TRACED.findall(traced)
            self.state = found[-1].decode() if found else self.state
            self.refused |= _ERROR_TRACED in traced
        for end in pipe:
            os.close(end)


def read_state(state: str) -> str:
    """A SQLSTATE as it stands in a reply; UNREADABLE for what is none."""
    return state if _STATE.fullmatch(state) else UNREADABLE


def find_state(data: bytes) -> str:
    """The SQLSTATE of the last ErrorResponse in whole messages of a server, "" without one."""
    state = ""
    for kind, content in _split(data):
        if kind == b"E":
            fields = content.split(b"\0")
            codes = [field[1:] for field in fields if field[:1] == b"C"]
            state = read_state(codes[0].decode("ascii", "replace")) if codes else state
    return state


def holds_error(data: bytes) -> bool:
    """Whether one of the messages is an error: with fields, empty, or in the old style, a text
    without a length, in which also a server of today says that it can't fork.
    """
    return any(kind == b"E" for kind, _ in _split(data))


def _split(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Messages as (letter, content): the length counts itself. What is behind one whose length
    can't be true is not looked at.
    """
    while data:
        length = int.from_bytes(data[1:5], "big")
        yield data[:1], data[5 : 1 + length]
        data = data[1 + length :] if len(data) >= 5 and length >= 4 else b""


async def _ready(descriptor: int, *, reading: bool) -> None:
    """Wait until a socket can be read or written."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def settle() -> None:
        if not done.done():
            done.set_result(None)

    add, remove = (
        (loop.add_reader, loop.remove_reader) if reading else (loop.add_writer, loop.remove_writer)
    )
    add(descriptor, settle)
    try:
        await done
    finally:
        remove(descriptor)
