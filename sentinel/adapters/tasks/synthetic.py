"""Synthetic tasks in a platform's own tables and behind its own API: enqueue, read, find, clean up.

Identifiers are quoted into the text, values are parameters. A token in the marker column tells our
rows from all others: nothing is changed or deleted by its id alone. Instants come back as Unix
seconds of the database.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sentinel.adapters.bus.entry_reader import StreamEntry, read_clock, read_stretch
from sentinel.adapters.columns import as_instant, as_wall, find_clocks
from sentinel.adapters.http.client import HttpClient, HttpResponse
from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.relation import Relation, fill, prove_visible, quote_name, refuse_large_scan
from sentinel.core.bus.envelope import Envelope
from sentinel.core.foreign.document import ForeignDocument, read_foreign_json
from sentinel.core.moment.skew import ColumnClock
from sentinel.core.tasks.synthetic import Span
from sentinel.core.tasks.synthetic_fleet import PATTERN
from sentinel.errors import NotMeasurable, SubjectError, TargetRejected

MARGIN = 60.0
"""Seconds around a task's creation in which its row is looked for when its id is not known."""
MAX_RESULT = 65536

_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8 AS now"
_ROW = """
SELECT {id}::text AS id, substring({marker}::text FROM %(pattern)s) AS token, {status} AS status, {agent} AS agent,
       {result} AS result, {times} extract(epoch FROM clock_timestamp())::float8 AS now
FROM {table}"""
_BY_ID = _ROW + " WHERE {id} = ANY (%(ids)s)"
_FIND = (
    _ROW
    + """ WHERE {range} substring({marker}::text FROM %(pattern)s) IS NOT NULL
  AND (%(tokens)s::text[] IS NULL OR substring({marker}::text FROM %(pattern)s) = ANY (%(tokens)s::text[]))
LIMIT 1000"""
)
_OURS = (
    "WHERE {id} = ANY (%(ids)s) AND substring({marker}::text FROM %(pattern)s) = ANY"
    " (%(tokens)s::text[])"
)
_DELETE = f"DELETE FROM {{table}} {_OURS} RETURNING {{id}}::text AS id"  # noqa: S608 - identifiers are quoted
_UPDATE = f"UPDATE {{table}} SET {{set}} {_OURS} RETURNING {{id}}::text AS id"  # noqa: S608 - as above
_INSERT = "INSERT INTO {table} ({names}) VALUES ({values}) RETURNING {id}::text AS id"
_TYPES = """
SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """Where a task's row is and what its columns mean; a column may be missing (None). `times` is
    hop → column; `zone`, as declared, of those without one, and what is known of their clocks.
    """

    table: str
    id: str
    marker: str
    status: str | None
    agent: str | None
    result: str | None
    created_at: str | None
    times: Mapping[str, str | None] = field(default_factory=dict)
    zone: str | None = None
    clocks: Mapping[str, ColumnClock] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One row of ours. `spans` has the instants that its columns tell; `result` is JSON text, cut
    at 64 KiB.
    """

    id: str
    token: str
    now: float
    status: str
    agent: str
    result: str | None
    spans: Mapping[str, Span]


def _created_within(column: str | None, clocks: Mapping[str, ColumnClock]) -> str:
    """The condition that a row was created between start and end, in any zone that its time may be
    in: one that is not found would be one that was not made.
    """
    if column is None:
        return ""
    clock = clocks.get(column)
    read = [clock] if clock is None else [replace(clock, zone=zone) for zone in clock.zones]
    ranges = [
        f"{quote_name(column)} BETWEEN {as_wall('%(start)s', each)} AND {as_wall('%(end)s', each)}"
        for each in read
    ]
    return f"({' OR '.join(ranges)}) AND"


class TaskBoard:
    """The platform's table of tasks, seen from synthetic ones."""

    def __init__(self, client: PostgresClient, rows: Rows) -> None:
        self.client, self.rows = client, rows
        self._columns = [hop for hop, column in rows.times.items() if column is not None]
        names = {name: self._optional(getattr(rows, name)) for name in ("status", "agent")}
        times = [
            f"extract(epoch FROM {as_instant(quote_name(column), rows.clocks.get(column))})::float8"
            f" AS {quote_name('at_' + hop)},"
            for hop, column in rows.times.items()
            if column is not None
        ]
        result = (
            f"left(to_jsonb({quote_name(rows.result)})::text, {MAX_RESULT})"
            if rows.result
            else "NULL::text"
        )
        self._names = {
            "table": str(Relation.of(rows.table)),
            "id": quote_name(rows.id),
            "marker": quote_name(rows.marker),
            "times": " ".join(times),
            "result": result,
            "range": _created_within(rows.created_at, rows.clocks),
            **names,
        }

    @staticmethod
    def _optional(column: str | None) -> str:
        return f"{quote_name(column)}::text" if column else "NULL::text"

    async def prove(self, now: float) -> dict[str, ColumnClock]:
        """Do we see the rows, are the columns there, and can they be found without a scan? Else
        raises, with remedy. Column → the clock by which it is written.
        """
        query = self.client.query
        await prove_visible(query, Relation.of(self.rows.table))
        times = [self.rows.created_at, *self.rows.times.values()]
        clocks = await find_clocks(query, self.rows.table, times, self.rows.zone)
        await refuse_large_scan(
            query, fill(_BY_ID, self._names), self._params(ids="{}"), self.rows.id
        )
        column = self.rows.created_at or self.rows.marker
        await refuse_large_scan(
            query, fill(_FIND, self._names), self._within(now - 0.001, now, []), column
        )
        return clocks

    async def read_clock(self) -> float:
        """The database's clock."""
        return float((await self.client.query(_NOW))[0]["now"])

    async def read(self, ids: Sequence[str]) -> dict[str, TaskRow]:
        """Rows by id. Raises SubjectError when an id can't be one of this table."""
        if not ids:
            return {}
        try:
            found = await self.client.query(
                fill(_BY_ID, self._names), self._params(ids=_array(ids))
            )
        except TargetRejected as error:
            raise self._no_id(error) from error
        return {row["id"]: self._row(row) for row in found}

    async def find(
        self, start: float, end: float, tokens: Sequence[str] | None = None
    ) -> list[TaskRow]:
        """Synthetic rows that were created in [start, end], at most 1000: of all paths, or those
        with these tokens.
        """
        parameters = self._within(start, end, None if tokens is None else list(tokens))
        return [
            self._row(row) for row in await self.client.query(fill(_FIND, self._names), parameters)
        ]

    def _row(self, row: Mapping[str, Any]) -> TaskRow:
        times = {hop: row[f"at_{hop}"] for hop in self._columns}
        spans = {hop: (at, at) for hop, at in times.items() if at is not None}
        status, agent = row["status"] or "", row["agent"] or ""
        return TaskRow(
            row["id"], row["token"] or "", row["now"], status.lower(), agent, row["result"], spans
        )

    def _within(self, start: float, end: float, tokens: list[str] | None) -> dict[str, Any]:
        span = (
            {"start": _instant(start - MARGIN), "end": _instant(end + MARGIN)}
            if self.rows.created_at
            else {}
        )
        return self._params(tokens=tokens, **span)

    def _params(self, **more: Any) -> dict[str, Any]:
        return {"pattern": PATTERN, **more}

    def _no_id(self, error: TargetRejected) -> Exception:
        if error.code not in {"22P02", "22003"}:
            return error
        return SubjectError(
            f"an id is no value of column {self.rows.id}: {error.message}",
            "correct the path of the id in the API's answer (enqueue.http.id), or the column of ids"
            " (rows.id)",
            code=error.code,
        )

    # --- writing ----------------------------------------------------------------------------------

    async def insert(self, writer: PostgresClient, table: str, values: Mapping[str, Any]) -> str:
        """Insert one row; its id. Raises SubjectError for a column that is not there, TargetError
        with a remedy.
        """
        types = await read_types(writer, table)
        parameters = {
            f"v{n}": encode(value, types, name, table)
            for n, (name, value) in enumerate(values.items())
        }
        names = {
            "table": str(Relation.of(table)),
            "id": self._names["id"],
            "names": ", ".join(map(quote_name, values)),
            "values": ", ".join(f"%({name})s" for name in parameters),
        }
        try:
            return str((await writer.write(fill(_INSERT, names), parameters))[0]["id"])
        except NotMeasurable as error:
            raise _grant(error, "SELECT, INSERT", table, writer) from error
        except TargetRejected as error:
            remedy = error.guidance or "make enqueue.sql.columns a row that the table takes"
            raise TargetRejected(
                f"the insert was refused: {error.message}", remedy, code=error.code
            ) from error

    async def delete(self, writer: PostgresClient, table: str, ours: Mapping[str, str]) -> set[str]:
        """Delete rows of ours (id → token); the ids of those that are gone now."""
        names = {**self._names, "table": str(Relation.of(table))}
        return await self._change(writer, table, fill(_DELETE, names), ours, "SELECT, DELETE", {})

    async def update(
        self, writer: PostgresClient, table: str, ours: Mapping[str, str], values: Mapping[str, Any]
    ) -> set[str]:
        """Set columns of rows of ours (id → token); the ids of those that were changed."""
        types = await read_types(writer, table)
        parameters = {
            f"v{n}": encode(value, types, name, table)
            for n, (name, value) in enumerate(values.items())
        }
        assignments = [
            f"{quote_name(name)} = %({key})s" for name, key in zip(values, parameters, strict=True)
        ]
        names = {**self._names, "table": str(Relation.of(table)), "set": ", ".join(assignments)}
        return await self._change(
            writer, table, fill(_UPDATE, names), ours, "SELECT, UPDATE", parameters
        )

    async def _change(
        self,
        writer: PostgresClient,
        table: str,
        sql: str,
        ours: Mapping[str, str],
        rights: str,
        parameters: dict[str, Any],
    ) -> set[str]:
        given = self._params(ids=_array(list(ours)), tokens=list(ours.values()), **parameters)
        try:
            return {row["id"] for row in await writer.write(sql, given)}
        except NotMeasurable as error:
            raise _grant(error, rights, table, writer) from error


def _grant(error: NotMeasurable, rights: str, table: str, writer: PostgresClient) -> NotMeasurable:
    if error.code != "42501":
        return error
    remedy = (
        f"GRANT {rights} ON {Relation.of(table)} TO NAME;".replace("%%", "%")
        + f" NAME is the role of resource {writer.name}; checks/acl has a view that lets it touch own"
        " rows only"
    )
    return NotMeasurable(error.message, remedy, code=error.code)


async def read_types(client: PostgresClient, table: str) -> dict[str, str]:
    """Types of a table's columns by name. Raises SubjectError when there is no such table."""
    relation = Relation.of(table)
    found = await client.query(_TYPES, {"schema": relation.schema, "name": relation.name})
    if not found:
        raise SubjectError(
            f"no such table or view: {relation.schema}.{relation.name}",
            "correct the name in the check",
        )
    return {row["name"]: row["type"] for row in found}


def encode(value: Any, types: Mapping[str, str], name: str, table: str) -> str | None:
    """A value of the configuration as the text that PostgreSQL reads for a column's type."""
    if name not in types:
        raise SubjectError(
            f"no column {name} in {table}", f"it has: {', '.join(types)}", code="42703"
        )
    if value is None:
        return None
    if types[name] in {"json", "jsonb"}:
        return json.dumps(value)
    if isinstance(value, list) and types[name].endswith("[]"):
        return _array([str(item) for item in value])
    return json.dumps(value) if isinstance(value, list | dict | bool) else str(value)


def _array(items: Sequence[str]) -> str:
    """An array literal: of whatever type the column is, so that its index serves."""
    escaped = (item.replace("\\", "\\\\").replace('"', '\\"') for item in items)
    return "{" + ",".join(f'"{item}"' for item in escaped) + "}"


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(max(0.0, seconds), UTC)


# --- behind an API ------------------------------------------------------------------------------

_CREDENTIALS = {401, 403, 407}


async def post(
    client: HttpClient,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: Any,
    id_path: str,
    *,
    timeout: float,  # noqa: ASYNC109 - the adapter keeps it
) -> str:
    """Enqueue a task; its id as the answer tells it, "" when it tells none. Any 2xx means that it
    was taken.

    Raises TargetUnreachable (taken or not: in doubt), NotMeasurable (credentials), TargetRejected
    with the status as its code.
    """
    sent = {"Content-Type": "application/json", **headers}
    response = await client.request(
        method, path, headers=sent, body=json.dumps(body).encode(), timeout=timeout
    )
    if response.status in _CREDENTIALS:
        text = f"enqueue: {method} {path} answered {response.status}: credentials refused"
        raise NotMeasurable(
            text, "check enqueue.http.headers and the resource's", code=str(response.status)
        )
    if not 200 <= response.status < 300:
        raise TargetRejected(
            f"{method} {path} answered {response.status}: {_excerpt(response)}",
            _ON_STATUS.get(response.status // 100, "correct enqueue.http of this check"),
            code=str(response.status),
        )
    return _read_id(response, id_path)


_ON_STATUS = {
    4: "make path and body of enqueue.http what this API takes",
    5: "read the API's own log of this request; its trace id is in the header traceparent",
}


def _excerpt(response: HttpResponse) -> str:
    return ascii(response.body[:160].decode("utf-8", "replace"))


def _read_id(response: HttpResponse, path: str) -> str:
    try:
        found = ForeignDocument(read_foreign_json(response.body)).find(path)
    except ValueError:
        return ""
    value = found[0][1] if found else None
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


async def publish(bus: RedisClient, stream: str, fields: Mapping[str, Any]) -> None:
    """Enqueue a task by an entry of a stream that is there already; values that are no texts go as
    JSON.
    """
    pairs = (
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in fields.items()
    )
    try:
        entry = await bus.call(
            "XADD", stream, "NOMKSTREAM", "*", *(part for pair in pairs for part in pair)
        )
    except NotMeasurable as error:
        remedy = error.guidance
        if error.code == "NOPERM":
            remedy = (
                f"append a selector to the user of resource {bus.name}: (~{stream} -@all +xadd)"
            )
        raise NotMeasurable(error.message, remedy, code=error.code) from error
    if entry is None:
        raise SubjectError(f"there is no stream {stream}", "correct enqueue.stream.key")


# --- on the bus ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BusClock:
    """The bus's clock against the database's: `ahead` seconds, known to ± `error`."""

    ahead: float
    error: float


async def compare_clocks(board: TaskBoard, bus: RedisClient) -> BusClock:
    """Read the database's clock between two readings of the bus's: the offset is known to half of
    that time.
    """
    first = await read_clock(bus)
    middle = await board.read_clock()
    last = await read_clock(bus)
    return BusClock((first + last) / 2 - middle, (last - first) / 2 + 0.001)


async def find_entry(
    bus: RedisClient,
    stream: str,
    envelope: Envelope,
    task: str,
    since: float,
    until: float,
    clock: BusClock,
) -> Span | None:
    """When the entry about `task` was published, by the database's clock; None when there is none.

    Raises SubjectError when part of the time can't be seen: trimmed, or more than 2000 entries.
    """
    stretch = await read_stretch(
        bus, stream, since + clock.ahead - 1.0, until + clock.ahead + 1.0, 2
    )
    found = next(
        (entry for entry in stretch.entries if envelope.task_of(entry.fields) == task), None
    )
    if found is not None:
        return _published(found, clock)
    if not stretch.complete or not stretch.extent.keeps(since + clock.ahead):
        raise SubjectError(
            f"{stream} does not show all entries of the time", "keep entries longer (MAXLEN)"
        )
    return None


def _published(entry: StreamEntry, clock: BusClock) -> Span:
    at = entry.id[0] / 1000 - clock.ahead
    return at - clock.error, at + 0.001 + clock.error
