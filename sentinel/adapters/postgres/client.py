"""PostgreSQL: one held read-only connection per resource, hard time limits, every error in our
words.

One connection on purpose: it keeps working when the server is full, and sentinel never is the leak.
A query that must be given up is ended by closing the connection; the server's statement_timeout ends
the rest.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg.waiting import wait_async

from sentinel.adapters.network.reconnect import Reconnect
from sentinel.adapters.network.resolver import Resolver
from sentinel.adapters.network.tcp import who_answers
from sentinel.adapters.network.tls import check_files
from sentinel.adapters.postgres.address import (
    OWN_NAME,
    PORT,
    Place,
    find_places,
    read_settings,
)
from sentinel.adapters.postgres.bound import stop_at_most
from sentinel.adapters.postgres.error import translate
from sentinel.adapters.postgres.start import start_session
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
from sentinel.strict.file import UnreadableFile

Record = dict[str, Any]
Params = Mapping[str, Any] | Sequence[Any] | None
Query = Callable[..., Awaitable[list[Record]]]
Connection = psycopg.AsyncConnection[Record]
T = TypeVar("T")
_LONG = 60.0
"""Seconds between two looks at a socket that says nothing: whoever asked ends it before."""


class _Held(psycopg.AsyncConnection[Record]):
    """Ends at once when nobody waits any more: psycopg would first ask the server to cancel, which a
    frozen server never does.
    """

    async def wait(
        self,
        gen: PQGen[T],
        interval: float = _LONG,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's own
    ) -> T:
        """What the generator gives. Raises NotMeasurable for an answer beyond all bounds."""
        bounded = stop_at_most(gen, self.pgconn.socket)
        return await wait_async(
            bounded, self.pgconn.socket, interval=max(interval, _LONG), timeout=timeout
        )


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
            " -c search_path="
        )
        self._lock_timeout = int(lock_timeout * 1000)
        self._connection: Connection | None = None
        self._plans: Connection | None = None
        """The connection, while the server keeps plans of statements for it."""
        self._lock = asyncio.Lock()
        self._reconnect = Reconnect(f"{name} (PostgreSQL)", monotonic)
        self._resolver = resolver or Resolver()

    async def query(self, sql: str, params: Params = None) -> list[Record]:
        """Run one statement in autocommit mode and fetch all rows. Names must be schema-qualified.

        The server keeps the plan of a statement without parameters (one for all parameters may be
        the wrong one), if it is one that keeps any: behind a pooler another session may get what was
        prepared in this one. What was not run for that is asked plainly.
        """
        async with self._held() as connection:
            if params is None and connection is self._plans:
                try:
                    return await self._fetch(connection, sql, None, prepare=True)
                except TargetError as error:
                    if error.code not in _NO_PLAN:
                        raise
                self._plans = None
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
    async def snapshot(self, *, fresh: bool = False) -> AsyncIterator[Query]:
        """A REPEATABLE READ, READ ONLY transaction, always rolled back; yields `await query(sql,
        params)`.

        A query that fails ends the snapshot: all that follow in it fail too. A `fresh` one is the
        first transaction of its session: settings that somebody set before are unset in it.
        """
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        async with self._transaction(begin, fresh=fresh) as query:
            yield query

    @asynccontextmanager
    async def rehearsal(self) -> AsyncIterator[Query]:
        """A READ WRITE transaction, always rolled back: what would happen. Triggers do run, and
        sequences stay where they were moved to.
        """
        async with self._transaction("BEGIN READ WRITE") as query:
            yield query

    @asynccontextmanager
    async def _transaction(self, begin: str, *, fresh: bool = False) -> AsyncIterator[Query]:
        async with self._held(fresh=fresh) as connection:
            await self._fetch(connection, begin, None)

            async def query(sql: str, params: Params = None) -> list[Record]:
                return await self._fetch(connection, sql, params)

            yield query

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @asynccontextmanager
    async def _held(self, *, fresh: bool = False) -> AsyncIterator[Connection]:
        """The connection for one user at a time, left idle outside a transaction, or dropped."""
        with name_resource(self.name):
            await self._turn()
            try:
                if fresh:
                    await self.close()
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
        if not self._lock.locked():
            await self._lock.acquire()
            return
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
        status = connection.pgconn.transaction_status
        if status == TransactionStatus.IDLE:
            return
        if status in {TransactionStatus.INTRANS, TransactionStatus.INERROR}:
            await self._answer(_fetch(connection, "ROLLBACK", None))
        if connection.pgconn.transaction_status != TransactionStatus.IDLE:
            self._drop()

    async def _fetch(
        self, connection: Connection, sql: str, params: Params, *, prepare: bool = False
    ) -> list[Record]:
        return await self._answer(_fetch(connection, sql, params, prepare=prepare))

    async def _answer(self, work: Coroutine[Any, Any, T]) -> T:
        """Await an answer of the server for `deadline` seconds; too late or cancelled: the
        connection is gone.
        """
        try:
            async with asyncio.timeout(self._deadline):
                return await work
        except TimeoutError as error:
            self._drop()
            raise TargetUnreachable(
                f"no answer in time: none within {self._deadline:g} s",
                "is the server frozen, or the network black-holed?",
            ) from error
        except (asyncio.CancelledError, NotMeasurable):
            self._drop()
            raise
        except (psycopg.Error, OSError) as error:
            raise translate(error) from error

    async def _connected(self) -> Connection:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        self._reconnect.admit()
        try:
            self._connection = self._plans = await self._connect()
        except TargetError as error:
            self._reconnect.failed(error)
            raise
        self._reconnect.succeeded()
        return self._connection

    async def _connect(self) -> Connection:
        try:
            settings = read_settings(self._dsn)
            await _check_files(settings)
            places = await find_places(settings, self._resolver)
            wanted = float(settings.get("connect_timeout") or 0)
        except (psycopg.Error, ValueError) as error:
            raise NotMeasurable(
                "the address, or its service, can't be read", "run sentinel validate"
            ) from error
        seconds = max(wanted, 2.0) if wanted else self._connect_timeout
        tries = [(place, wish) for wish in _wishes(settings) for place in places]
        return await self._first(tries, settings, time.monotonic() + seconds)

    async def _first(
        self, tries: Sequence[tuple[Place, str]], settings: Mapping[str, str], end: float
    ) -> Connection:
        """The first session that opens, each try with its share of the time that is left.

        As in libpq, a server that refuses us ends the search, and one that starts does not.
        """
        failed: list[TargetError] = []
        silent: list[Place] = []
        for number, (place, wish) in enumerate(tries):
            share = (end - time.monotonic()) / (len(tries) - number)
            try:
                return await self._open(place, wish, settings, max(share, 0.0))
            except TargetError as error:
                failed.append(error)
                if error.code and not isinstance(error, TargetStarting):
                    break
                silent += [place] if isinstance(error.__cause__, TimeoutError) else []
        other = await self._identify(silent[0]) if silent else None
        raise other or _choose(failed)

    async def _open(
        self, place: Place, wish: str, settings: Mapping[str, str], seconds: float
    ) -> Connection:
        options = f"{settings.get('options', '')} {self._options_for(wish)}".strip()
        own = {**place.overrides, "options": options, "application_name": OWN_NAME}
        if wish:
            own["target_session_attrs"] = wish
        if self._password:
            own["password"] = self._password
        try:
            async with asyncio.timeout(seconds):
                pgconn = await start_session(make_conninfo(self._dsn, **own))
                connection = _Held(pgconn, row_factory=dict_row)
                connection.prepare_threshold = sys.maxsize  # those only that ask for it
                return await self._prepare(connection, wish)
        except (psycopg.Error, OSError) as error:
            raise translate(error) from error

    def _options_for(self, wish: str) -> str:
        """Our start-up options. A server is asked whether it takes writes before we ask for none:
        else it would say no.
        """
        return self._options + ("" if wish in _ASK_WRITES else f" {_READ_ONLY}")

    async def _prepare(self, connection: Connection, wish: str) -> Connection:
        """Naive times are taken as UTC in our session. Not a start-up option: then the catalog
        would no longer tell (`reset_val`) what others get, which is how columns without a zone are
        read.
        """
        try:
            await connection.set_autocommit(True)
            if wish in _ASK_WRITES:
                await self._forbid_writes(connection)
            await connection.execute(b"SET timezone TO 'UTC'")
        except BaseException:
            connection.pgconn.finish()
            raise
        return connection

    async def _forbid_writes(self, connection: Connection) -> None:
        """Only in a session that is ours alone: a pooler that dropped our options shares it."""
        sql = "SELECT setting::int AS wait FROM pg_catalog.pg_settings WHERE name = 'lock_timeout'"
        if (await _fetch(connection, sql, None))[0]["wait"] != self._lock_timeout:
            raise NotMeasurable(
                "a pooler drops the session's options",
                "connect to the server itself, not through a pooler",
                code="08P01",
            )
        await connection.execute(b"SET default_transaction_read_only TO on")

    async def _identify(self, place: Place) -> TargetError | None:
        """Who is it that accepts and stays silent? Redis and HTTP servers wait for a line that
        libpq never ends.
        """
        if not place.hostaddr:
            return None
        kind = await who_answers(place.hostaddr, int(place.port or PORT), self._resolver)
        return (
            WrongTarget(f"not a PostgreSQL server: {kind} answers there", "check the address")
            if kind and kind != "PostgreSQL"
            else None
        )

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.pgconn.finish()


_NO_PLAN = {"26000", "42P05", "0A000"}
"""SQLSTATEs of a plan that is not there, is another one's, or does not fit a changed table: nothing
was run.
"""
_READ_ONLY = "-c default_transaction_read_only=on"
_ASK_WRITES = {"read-write", "read-only"}


async def _check_files(settings: Mapping[str, str]) -> None:
    """libpq opens these by itself: a pipe would stand the event loop still."""
    named = (settings.get(key, "") for key in ("sslrootcert", "sslcert", "sslcrl"))
    try:
        await check_files(name for name in named if name not in {"", "system"})
    except UnreadableFile as error:
        raise NotMeasurable(
            f"TLS: a file of its address: {error.message}",
            "look at sslrootcert, sslcert and sslcrl of this resource's address",
            code="TLS_FILE",
        ) from error


def _wishes(settings: Mapping[str, str]) -> list[str]:
    """What each round over the places asks for: who prefers a standby asks all for one first."""
    wish = settings.get("target_session_attrs", "")
    return ["standby", "any"] if wish == "prefer-standby" else [wish]


def _choose(failed: Sequence[TargetError]) -> TargetError:
    """Of many failures the one that blames least: down is what all places are."""
    order = (WrongTarget, NotMeasurable, SubjectError, TargetStarting, TargetRejected)
    for kind in order:
        found = next((error for error in failed if isinstance(error, kind)), None)
        if found:
            return found
    return failed[-1]


def identifier(name: str) -> str:
    """`schema.table` or `column`, quoted for a statement with parameters (so % is doubled)."""
    return ".".join(
        '"' + part.replace('"', '""').replace("%", "%%") + '"' for part in name.split(".")
    )


async def _fetch(
    connection: Connection, sql: str, params: Params, *, prepare: bool = False
) -> list[Record]:
    cursor = await connection.execute(sql.encode(), params, prepare=prepare)
    return await cursor.fetchall() if cursor.description else []
