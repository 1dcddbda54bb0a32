"""PostgreSQL: one held read-only connection per resource, hard time limits, every error in our
words.

One connection on purpose: it keeps working when the server is full, and sentinel never is the leak.
A query that must be given up is ended by shutting our end of the socket: psycopg's own way would
first ask the server to cancel, which a frozen server never does. The server's statement_timeout
ends the rest.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from sentinel.adapters.reconnect import Reconnect
from sentinel.adapters.resolver import Resolver
from sentinel.adapters.tcp import who_answers
from sentinel.errors import (
    NotMeasurable,
    SubjectError,
    TargetError,
    TargetRejected,
    TargetStarting,
    TargetUnreachable,
    WrongTarget,
    name_resource,
)

Record = dict[str, Any]
Params = Mapping[str, Any] | Sequence[Any] | None
Query = Callable[..., Awaitable[list[Record]]]
Connection = psycopg.AsyncConnection[Record]
T = TypeVar("T")


class PostgresClient:
    """One logical database. Rows are dicts; instants are aware. Times in seconds. Raises
    TargetError only.

    The server ends a statement after `statement_timeout`; when it has not done so `grace` later, it
    is frozen.
    """

    def __init__(
        self,
        name: str,
        dsn: str,
        *,
        password: str | None = None,
        connect_timeout: float = 3.0,
        statement_timeout: float = 2.0,
        lock_timeout: float = 0.5,
        grace: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
        resolver: Resolver | None = None,
    ) -> None:
        self.name = name
        self._dsn = dsn
        self._password = password
        self._connect_timeout = connect_timeout
        self._deadline = statement_timeout + grace
        self._options = (
            f"-c statement_timeout={int(statement_timeout * 1000)} -c"
            f" lock_timeout={int(lock_timeout * 1000)} -c idle_in_transaction_session_timeout=10000"
            " -c default_transaction_read_only=on -c search_path="
        )
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()
        self._reconnect = Reconnect(f"{name} (PostgreSQL)", monotonic)
        self._resolver = resolver or Resolver()

    async def query(self, sql: str, params: Params = None) -> list[Record]:
        """Run one statement in autocommit mode and fetch all rows. Names must be schema-qualified."""
        async with self._held() as connection:
            return await self._fetch(connection, sql, params)

    async def write(self, sql: str, params: Params = None) -> list[Record]:
        """Run one statement in a READ WRITE transaction of its own, committed when this returns;
        fetch all rows.

        TargetUnreachable leaves in doubt whether it happened; every other TargetError says that it
        did not.
        """
        async with self._held() as connection:
            await self._fetch(connection, "BEGIN READ WRITE", None)
            rows = await self._fetch(connection, sql, params)
            await self._fetch(connection, "COMMIT", None)
            return rows

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Query]:
        """A REPEATABLE READ, READ ONLY transaction, always rolled back; yields `await query(sql,
        params)`.

        A query that fails ends the snapshot: all that follow in it fail too.
        """
        async with self._held() as connection:
            await self._fetch(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", None)

            async def query(sql: str, params: Params = None) -> list[Record]:
                return await self._fetch(connection, sql, params)

            yield query

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[Connection]:
        """The connection for one user at a time, left idle outside a transaction, or dropped."""
        with name_resource(self.name):
            async with self._locked() as connection:
                yield connection

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[Connection]:
        await self._turn()
        try:
            connection = await self._connected()
            try:
                yield connection
            except Exception:
                await self._settle(connection)
                raise
            except BaseException:
                self._drop()
                raise
            await self._settle(connection)
        finally:
            self._lock.release()

    async def _turn(self) -> None:
        """Wait for our own connection, not for ever: that it is busy says nothing of the server."""
        try:
            async with asyncio.timeout(self._connect_timeout + self._deadline):
                await self._lock.acquire()
        except TimeoutError as error:
            raise NotMeasurable(
                "own connection is busy with other checks",
                "give the checks on this resource longer intervals",
            ) from error

    async def _settle(self, connection: Connection) -> None:
        """Roll back what a user left open; whatever is not idle after that is dropped."""
        if connection.pgconn.transaction_status in {
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        }:
            await self._answer(connection, _fetch(connection, "ROLLBACK", None))
        if connection.pgconn.transaction_status != TransactionStatus.IDLE:
            self._drop()

    async def _fetch(self, connection: Connection, sql: str, params: Params) -> list[Record]:
        return await self._answer(connection, _fetch(connection, sql, params))

    async def _answer(self, connection: Connection, work: Coroutine[Any, Any, T]) -> T:
        """Await an answer of the server for `deadline` seconds; too late or cancelled: the
        connection is gone.
        """
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._deadline)
        except asyncio.CancelledError:
            await self._give_up(connection, task)
            raise
        if not done:
            await self._give_up(connection, task)
            raise TargetUnreachable(
                f"no answer in time: none within {self._deadline:g} s",
                "is the server frozen, or the network black-holed?",
            )
        try:
            return task.result()
        except (psycopg.Error, OSError) as error:
            raise translate(error) from error

    async def _give_up(self, connection: Connection, task: asyncio.Future[Any]) -> None:
        _hang_up(connection)
        await asyncio.wait({task}, timeout=1.0)
        self._drop()
        if task.done() and not task.cancelled():
            task.exception()

    async def _connected(self) -> Connection:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        self._reconnect.admit()
        try:
            self._connection = await self._connect()
        except TargetError as error:
            self._reconnect.failed(error)
            raise
        self._reconnect.succeeded()
        return self._connection

    async def _connect(self) -> Connection:
        own: dict[str, Any] = {"options": self._options, **await self._address()}
        if self._password:
            own["password"] = self._password
        try:
            async with asyncio.timeout(self._connect_timeout):
                connection = await psycopg.AsyncConnection.connect(
                    self._dsn,
                    autocommit=True,
                    row_factory=dict_row,
                    connect_timeout=max(2, int(self._connect_timeout)),
                    application_name="sentinel",
                    prepare_threshold=None,
                    **own,
                )
                return await _use_utc(connection)
        except (psycopg.errors.ConnectionTimeout, TimeoutError) as error:
            raise await self._identify() or translate(error) from error
        except (psycopg.Error, OSError) as error:
            raise translate(error) from error

    async def _address(self) -> dict[str, str]:
        """`hostaddr`, resolved by us: psycopg would use the loop's own few threads."""
        settings = conninfo_to_dict(self._dsn)
        host = str(settings.get("host") or "")
        if not host or host.startswith("/") or "," in host or settings.get("hostaddr"):
            return {}
        return {
            "hostaddr": ",".join(a[1] for a in (await self._resolver.addresses(host, 5432))[:1])
        }

    async def _identify(self) -> TargetError | None:
        """Who is it that accepts and stays silent? Redis and HTTP servers wait for a line that
        libpq never ends.
        """
        settings = conninfo_to_dict(self._dsn)
        host, port = (
            str(settings.get("hostaddr") or settings.get("host") or "/"),
            settings.get("port") or 5432,
        )
        if host.startswith("/") or "," in host or "," in str(port):
            return None
        kind = await who_answers(host, int(port), self._resolver)
        return (
            WrongTarget(f"not a PostgreSQL server: {kind} answers there", "check the address")
            if kind
            else None
        )

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.pgconn.finish()


_SAFE_FAULTS = ("invalid URI query parameter", "invalid connection option")


def find_dsn_fault(dsn: str) -> str:
    """What libpq has against an address, or "". It may quote what it can't read, so only some of
    its words are kept.
    """
    try:
        settings = conninfo_to_dict(dsn)
    except psycopg.Error as error:
        text = " ".join(str(error).split())
        return (
            f"is no postgres address: {text}"
            if text.startswith(_SAFE_FAULTS)
            else "is no postgres address"
        )
    ports = [word for word in str(settings.get("port") or "").split(",") if word]
    return (
        ""
        if all(word.isdigit() and 0 < int(word) <= 65535 for word in ports)
        else "is no postgres address"
    )


def find_password(dsn: str) -> str:
    """The password of an address, in whichever form it is written, or ""."""
    try:
        return str(conninfo_to_dict(dsn).get("password") or "")
    except psycopg.Error:
        return ""


def identifier(name: str) -> str:
    """`schema.table` or `column`, quoted for a statement with parameters (so % is doubled)."""
    return ".".join(
        '"' + part.replace('"', '""').replace("%", "%%") + '"' for part in name.split(".")
    )


async def _use_utc(connection: Connection) -> Connection:
    """Naive times are taken as UTC in our session. Not a start-up option: then the catalog would
    no longer tell (`reset_val`) what others get, which is how columns without a zone are read.
    """
    try:
        await connection.execute(b"SET timezone TO 'UTC'")
    except BaseException:
        connection.pgconn.finish()
        raise
    return connection


async def _fetch(connection: Connection, sql: str, params: Params) -> list[Record]:
    cursor = await connection.execute(sql.encode(), params)
    return await cursor.fetchall() if cursor.description else []


def _hang_up(connection: Connection) -> None:
    """End both directions of the socket on our side: whoever waits on it sees the end of the stream
    at once.
    """
    try:
        duplicate = socket.socket(fileno=os.dup(connection.pgconn.socket))
    except (psycopg.Error, OSError):
        return
    with duplicate:
        try:
            duplicate.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


_CREDENTIALS = {"28P01", "28000"}
_MISSING = {
    "42P01": "no such table or view",
    "42703": "no such column",
    "42883": "no such function or operator for these types",
    "42704": "no such object",
    "3F000": "no such schema",
}
_WAIT = "wait: the server starts or recovers"
_RUNNING = "is the server running, and the address right?"


def translate(error: BaseException) -> TargetError:
    """A psycopg or socket error in our words; the SQLSTATE becomes `code`."""
    state = getattr(error, "sqlstate", None) or ""
    text = " ".join(str(error).split()) or type(error).__name__
    if state:
        return _by_state(state, text)
    if isinstance(error, TimeoutError | psycopg.errors.ConnectionTimeout):
        return TargetUnreachable(
            f"no answer in time: {text}", "is the server frozen, or the network black-holed?"
        )
    return _by_text(text)


def _by_state(state: str, text: str) -> TargetError:
    if state in _MISSING:
        return SubjectError(
            f"{_MISSING[state]}: {text}",
            "correct the name in the check, or grant USAGE",
            code=state,
        )
    if state == "22023":  # our own words, not the platform's rows: such as a zone that we know
        return SubjectError(
            f"the server does not take a value of the check: {text}",
            "correct it; the zones that this server knows are those of pg_timezone_names",
            code=state,
        )
    if state in _CREDENTIALS:
        return NotMeasurable(
            f"credentials refused: {text}", "check user and password of this resource", code=state
        )
    if state == "42501":
        return NotMeasurable(
            f"privilege missing: {text}", "grant the privilege that the message names", code=state
        )
    if state == "57P03":
        return TargetStarting(f"starting: {text}", _WAIT, code=state)
    if state == "53300":
        return NotMeasurable(
            f"no connection left: {text}", "find who holds the connections", code=state
        )
    if state in {"57014", "55P03"}:
        return NotMeasurable(
            f"stopped at our own limit: {text}",
            "look for locks (pg_blocking_pids) or a missing index",
            code=state,
        )
    if state.startswith("57P"):
        return TargetUnreachable(f"connection ended by the server: {text}", code=state)
    return TargetRejected(text, code=state)


# libpq tells no SQLSTATE of a failed connection, only the server's text. (words, make, prefix,
# guidance, code)
_TEXTS: list[tuple[tuple[str, ...], type[TargetError], str, str, str]] = [
    (
        ("no password supplied", "password authentication failed", "authentication failed for user"),
        NotMeasurable, "credentials refused", "check user and password of this resource", "28P01",
    ),
    (("no pg_hba.conf entry",), NotMeasurable, "not admitted", "add sentinel's host to pg_hba.conf", "28000"),
    (("is shutting down",), TargetUnreachable, "shutting down", _RUNNING, "57P03"),
    (
        ("starting up", "not yet accepting", "not accepting connections", "in recovery mode"),
        TargetStarting, "starting", _WAIT, "57P03",
    ),
    (
        ("too many clients", "remaining connection slots", "too many connections"),
        NotMeasurable, "no connection left", "find who holds the connections", "53300",
    ),
    (
        ("unsupported startup parameter",),
        NotMeasurable, "a pooler refuses the session", "connect to the server itself, not through a pooler", "08P01",
    ),
    (("does not exist",), NotMeasurable, "no such database or role", "check the address of this resource", "3D000"),
    (
        ("invalid response", "expected authentication request", "unsupported frontend protocol"),
        WrongTarget, "not a PostgreSQL server", "check the address: another kind of server answers there", "",
    ),
    (
        ("certificate", "SSL", "GSSAPI"),
        NotMeasurable, "TLS", "set sslmode and sslrootcert of this resource as the server needs them", "",
    ),
]  # fmt: skip


def _by_text(text: str) -> TargetError:
    for words, make, prefix, guidance, code in _TEXTS:
        if any(word in text for word in words):
            return make(f"{prefix}: {text}", guidance, code=code)
    if "FATAL:" in text:
        return TargetRejected(f"refused: {text}", "the server answers, but not to us: read its log")
    return TargetUnreachable(f"unreachable: {text}", _RUNNING)
