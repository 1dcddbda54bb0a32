"""PostgreSQL: one held read-only connection per resource, hard time limits, every error in our words.

One connection on purpose: it keeps working when the server is full, and sentinel never is the leak.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from sentinel.adapters.reconnect import Reconnect
from sentinel.errors import (
    NotMeasurable,
    SubjectError,
    TargetError,
    TargetRejected,
    TargetStarting,
    TargetUnreachable,
    WrongTarget,
)

Record = dict[str, Any]
Params = Mapping[str, Any] | Sequence[Any] | None


class PostgresClient:
    """One logical database. Rows are dicts; instants are aware. Times in seconds. Raises TargetError only."""

    def __init__(
        self,
        name: str,
        dsn: str,
        *,
        password: str | None = None,
        connect_timeout: float = 3.0,
        statement_timeout: float = 2.0,
        lock_timeout: float = 0.5,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._dsn = dsn
        self._password = password
        self._connect_timeout = connect_timeout
        self._deadline = statement_timeout + 1.0
        self._options = (
            f"-c statement_timeout={int(statement_timeout * 1000)} -c lock_timeout={int(lock_timeout * 1000)}"
            " -c idle_in_transaction_session_timeout=10000 -c default_transaction_read_only=on"
            " -c search_path= -c timezone=UTC"
        )
        self._connection: psycopg.AsyncConnection[Record] | None = None
        self._lock = asyncio.Lock()
        self._reconnect = Reconnect(f"{name} (PostgreSQL)", monotonic)

    async def query(self, sql: str, params: Params = None) -> list[Record]:
        """Run one statement in autocommit mode and fetch all rows. Names must be schema-qualified."""
        async with self._guarded() as connection:
            return await _fetch(connection, sql, params)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Callable[..., Any]]:
        """A REPEATABLE READ, READ ONLY transaction, always rolled back; yields `await query(sql, params)`."""
        async with self._guarded() as connection:
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

            async def query(sql: str, params: Params = None) -> list[Record]:
                return await _fetch(connection, sql, params)

            try:
                yield query
            finally:
                if not connection.closed:
                    await connection.rollback()

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[psycopg.AsyncConnection[Record]]:
        """The held connection under the lock; dropped after anything that leaves its state in doubt."""
        async with self._lock:
            try:
                connection = await self._connected()
                async with asyncio.timeout(self._deadline):
                    yield connection
            except (psycopg.Error, OSError, TimeoutError) as error:
                ours = translate(error)
                if not isinstance(ours, SubjectError):
                    await self._drop()
                raise ours from error
            except asyncio.CancelledError:
                await self._drop()
                raise
        self._reconnect.succeeded()

    async def _connected(self) -> psycopg.AsyncConnection[Record]:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        self._reconnect.admit()
        try:
            async with asyncio.timeout(self._connect_timeout + 0.5):
                self._connection = await psycopg.AsyncConnection.connect(
                    self._dsn,
                    password=self._password,
                    autocommit=True,
                    row_factory=dict_row,
                    connect_timeout=max(2, int(self._connect_timeout)),
                    application_name="sentinel",
                    options=self._options,
                    prepare_threshold=None,
                )
        except (psycopg.Error, OSError, TimeoutError) as error:
            ours = translate(error)
            self._reconnect.failed(ours)
            raise ours from error
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.pgconn.finish()


async def _fetch(connection: psycopg.AsyncConnection[Record], sql: str, params: Params) -> list[Record]:
    cursor = await connection.execute(sql.encode(), params)
    return await cursor.fetchall() if cursor.description else []


_STARTING = {"57P03"}
_CREDENTIALS = {"28P01", "28000"}
_MISSING = {
    "42P01": "no such table or view",
    "42703": "no such column",
    "42883": "no such function or operator for these types",
    "3F000": "no such schema",
}


def translate(error: BaseException) -> TargetError:
    """A psycopg or socket error in our words; the SQLSTATE becomes `code`."""
    state = getattr(error, "sqlstate", None) or ""
    text = " ".join(str(error).split()) or type(error).__name__
    if state:
        return _by_state(state, text)
    if isinstance(error, TimeoutError | psycopg.errors.ConnectionTimeout):
        return TargetUnreachable(f"no answer in time: {text}", "is the server frozen, or the network black-holed?")
    return _by_text(text)


def _by_state(state: str, text: str) -> TargetError:
    if state in _MISSING:
        return SubjectError(f"{_MISSING[state]}: {text}", "correct the name in the check, or grant USAGE on the schema", code=state)
    if state in _CREDENTIALS:
        return NotMeasurable(f"credentials refused: {text}", "check user and password of this resource", code=state)
    if state == "42501":
        return NotMeasurable(f"privilege missing: {text}", "grant the privilege that the message names", code=state)
    if state in _STARTING:
        return TargetStarting(f"starting: {text}", "wait: the server starts or recovers", code=state)
    if state == "53300":
        return NotMeasurable(f"no connection left: {text}", "find who holds the connections", code=state)
    if state in {"57014", "55P03"}:
        return NotMeasurable(f"stopped at our own limit: {text}", "look for locks (pg_blocking_pids) or a missing index", code=state)
    if state.startswith("57P"):
        return TargetUnreachable(f"connection ended by the server: {text}", code=state)
    return TargetRejected(text, code=state)


def _by_text(text: str) -> TargetError:
    if "no password supplied" in text or "password authentication failed" in text:
        return NotMeasurable(f"credentials refused: {text}", "check user and password of this resource", code="28P01")
    if "starting up" in text or "not yet accepting" in text:
        return TargetStarting(f"starting: {text}", "wait: the server starts or recovers", code="57P03")
    if "too many clients" in text or "remaining connection slots" in text or "too many connections" in text:
        return NotMeasurable(f"no connection left: {text}", "find who holds the connections", code="53300")
    if "does not exist" in text:
        return NotMeasurable(f"no such database or role: {text}", "check the address of this resource", code="3D000")
    if "invalid response" in text or "expected authentication request" in text:
        return WrongTarget(f"not a PostgreSQL server: {text}", "check the address: another kind of server answers there")
    return TargetUnreachable(f"unreachable: {text}", "is the server running, and the address right?")
