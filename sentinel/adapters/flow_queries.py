"""The statements about flows: open rows, rows that left, masters and children, completed stays (measurement.md §5).

A column is named as `column`, or `column->key->key` for a value inside JSON. Identifiers are quoted into the text,
values are parameters; ages are seconds by the server's clock, naive times are taken as UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.adapters.relation import Query, Relation, find_scans, quote_name
from sentinel.adapters.task_queries import fill
from sentinel.core.dwell import Stays
from sentinel.core.stall import Sight, is_true, read_progress
from sentinel.errors import NotMeasurable, SubjectError

MAX_SCAN_COST = 5000.0
JOINED = 20_000

_COLUMNS = """
       {id}::text AS id, lower({status}::text) AS status, {type}::text AS type, {worker}::text AS worker,
       {progress} AS progress, {phase}::text AS phase, {waits} AS waits, {counters} AS counters, {flags} AS flags,
       {created_at} AS created_age, {changed_at} AS changed_age, {status_changed_at} AS status_age,
       extract(epoch FROM clock_timestamp())::float8 AS now"""
_OPEN = "SELECT {columns}{master} FROM {table} AS f{join} WHERE {is_open} ORDER BY {oldest} LIMIT %(limit)s"
_GONE = "SELECT {columns} FROM {table} AS f WHERE {key} = ANY (%(ids)s::{type}[])"
_MASTER = """,
       ({reference}) IS NOT NULL AS refers, m.{key}::text AS master_key, lower({status}::text) AS master_status,
       {id}::text AS master_id, {type}::text AS master_type,
       {created_at} AS master_created, {changed_at} AS master_changed"""
_JOIN = " LEFT JOIN {table} AS m ON m.{key}{cast} = {reference}"
_FINISHED = """
SELECT {columns}, f.{child_id}::text AS child, lower({child_status}::text) AS child_status,
       {child_changed} AS child_changed
FROM {table} AS m JOIN {child_table} AS f ON m.{key}{cast} = {reference}
WHERE {is_open} AND NOT ({child_is_open}) LIMIT %(limit)s"""
_TYPES = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND a.attnum > 0 AND NOT a.attisdropped"""
_STAYS = """
WITH d AS (SELECT type, status, seconds FROM ({events}) AS e
           WHERE seconds >= 0 AND entered >= clock_timestamp() - interval '30 days'),
 m AS (SELECT type, status, count(*) AS n, percentile_cont(0.99) WITHIN GROUP (ORDER BY seconds) AS p99,
              percentile_cont(0.5) WITHIN GROUP (ORDER BY ln(greatest(seconds, 0.001))) AS ml FROM d GROUP BY 1, 2)
SELECT m.type, m.status, m.n, m.ml, m.p99,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(ln(greatest(d.seconds, 0.001)) - m.ml)) AS mad
FROM m JOIN d ON d.status = m.status AND d.type IS NOT DISTINCT FROM m.type GROUP BY 1, 2, 3, 4, 5
ORDER BY 3 DESC LIMIT 200"""
_EVENTS = """
SELECT {type}::text AS type, lower(e.{status}::text) AS status, e.{entered} AS entered,
       extract(epoch FROM {left} - e.{entered})::float8 AS seconds
FROM {events} AS e JOIN {table} AS f ON f.{id}::text = e.{flow}::text"""


@dataclass(frozen=True, slots=True)
class FlowTable:
    """Where flows are, by column names as configured; `terminal`: raw status texts in lower case that are over."""

    table: str
    id: str
    status: str
    terminal: Sequence[str]
    type: str | None = None
    worker: str | None = None
    phase: str | None = None
    created_at: str | None = None
    changed_at: str | None = None
    status_changed_at: str | None = None
    progress: Sequence[str] = ()
    counters: Sequence[str] = ()
    flags: Sequence[str] = ()
    waits: Sequence[str] = ()

    @property
    def columns(self) -> list[str]:
        """All columns that are configured."""
        single = [self.type, self.worker, self.phase, self.created_at, self.changed_at, self.status_changed_at]
        several = [*self.progress, *self.counters, *self.flags, *self.waits]
        return [text.partition("->")[0] for text in [self.id, self.status, *single, *several] if text]

    def select(self, alias: str) -> str:
        """The columns of a sight, read from `alias`."""
        return fill(_COLUMNS, _names(self, alias))

    def is_open(self, alias: str) -> str:
        """Condition of a flow that is not over; a status of NULL is none that is over."""
        ended = ", ".join(_literal(text) for text in self.terminal)
        return f"coalesce(lower({value_of(alias, self.status)}::text), '') <> ALL (ARRAY[{ended}]::text[])"


@dataclass(frozen=True, slots=True)
class Link:
    """How a child finds its master: the first of `join` that is not NULL is the master's `key`; `cast`: by text."""

    master: FlowTable
    key: str
    join: Sequence[str]
    by_text: bool

    @property
    def reference(self) -> str:
        """The child's side of the join."""
        cast = "::text" if self.by_text else ""
        return f"coalesce({', '.join(f'f.{quote_name(column)}{cast}' for column in self.join)})"

    def parts(self) -> dict[str, str]:
        """What templates need of the master."""
        return {
            **_names(self.master, "m"),
            "table": str(Relation.of(self.master.table)),
            "key": quote_name(self.key),
            "reference": self.reference,
            "cast": "::text" if self.by_text else "",
        }


@dataclass(frozen=True, slots=True)
class Statements:
    """Texts for one table: `open` (with its master) and `only_open` take limit; `gone` ids; `finished` limit."""

    open: str
    only_open: str
    gone: str
    finished: str = ""


def make_statements(table: FlowTable, types: Mapping[str, str], link: Link | None = None) -> Statements:
    """The statements for a table whose column types are known."""
    oldest = value_of("f", table.created_at) if table.created_at else f"f.{quote_name(table.id)}"
    parts = {
        "columns": table.select("f"),
        "table": str(Relation.of(table.table)),
        "is_open": table.is_open("f"),
        "oldest": oldest,
        "master": fill(_MASTER, link.parts()) if link else "",
        "join": fill(_JOIN, link.parts()) if link else "",
        "key": f"f.{quote_name(table.id)}",
        "type": types[table.id].replace("%", "%%"),
    }
    alone = fill(_OPEN, {**parts, "master": "", "join": ""})
    return Statements(fill(_OPEN, parts), alone, fill(_GONE, parts), _finished(table, link) if link else "")


def _finished(child: FlowTable, link: Link) -> str:
    names = _names(child, "f")
    own = {
        "columns": link.master.select("m"),
        "is_open": link.master.is_open("m"),
        "child_id": quote_name(child.id),
        "child_status": names["status"],
        "child_changed": names["changed_at"],
        "child_table": str(Relation.of(child.table)),
        "child_is_open": child.is_open("f"),
    }
    return fill(_FINISHED, {**link.parts(), **own})


async def read_types(query: Query, table: FlowTable, more: Sequence[str] = ()) -> dict[str, str]:
    """Column → SQL type. Raises SubjectError with the columns that there are when a configured one is missing."""
    relation = Relation.of(table.table)
    rows = await query(_TYPES, {"schema": relation.schema, "name": relation.name})
    types = {row["name"]: row["type"] for row in rows}
    missing = sorted({name for name in [*table.columns, *more] if name not in types})
    if missing:
        raise SubjectError(
            f"no such column: {', '.join(missing)} in {relation.schema}.{relation.name}",
            f"correct the mapping; the columns are {', '.join(sorted(types))[:300]}",
        )
    return types


async def refuse_scans(query: Query, table: FlowTable, statements: Statements, link: Link | None = None) -> None:
    """Raise NotMeasurable, with the index to create, when a poll would read a large table from end to end."""
    column = quote_name(table.created_at or table.id)
    partial = f"({column}) WHERE {table.is_open('f').replace('f.', '')}"
    await _refuse(query, statements.only_open, f"the open rows of {table.table}", partial)
    if link is not None:
        key = f"({', '.join(quote_name(name) for name in link.join)}), and of {link.master.table} on {link.key}"
        for sql in (statements.open, statements.finished):
            await _refuse(query, sql, f"the join of {table.table} and {link.master.table}", key)


async def _refuse(query: Query, sql: str, what: str, index: str) -> None:
    for scan in await find_scans(query, sql, {"limit": JOINED}):
        if scan.cost > MAX_SCAN_COST:
            raise NotMeasurable(
                f"refused to poll: no usable index for {what} (planner cost {scan.cost:.0f})",
                f"CREATE INDEX CONCURRENTLY ON {scan.relation} {index};".replace("%%", "%"),
            )


def read_sight(row: Mapping[str, Any], aliases: Mapping[str, str], type_: str | None) -> Sight:
    """A row as a sight; `aliases`: status text → canonical status; `type_`: the type of all, when no column tells."""
    status = row["status"] or ""
    return Sight(
        id=row["id"],
        type=(row["type"] or "") if type_ is None else type_,
        status=aliases.get(status, status),
        now=float(row["now"]),
        created_age=row["created_age"],
        changed_age=row["changed_age"],
        status_age=row["status_age"],
        progress=read_progress(row["progress"]),
        phase=row["phase"] or "",
        counters=tuple(text or "" for text in row["counters"]),
        flags=tuple(is_true(text) for text in row["flags"]),
        worker=row["worker"] or "",
        waits=any(is_true(text) for text in row["waits"]),
    )


def select_stays(events: Mapping[str, str | None], table: FlowTable) -> str:
    """Completed stays by type and status from a table of transitions. Without `left_at` a stay ends at the next row."""
    entered = quote_name(events["entered_at"] or "")
    flow = quote_name(events["flow"] or "")
    left = events["left_at"]
    parts = {
        "type": value_of("f", table.type) if table.type else "NULL",
        "status": quote_name(events["status"] or ""),
        "entered": entered,
        "left": f"e.{quote_name(left)}"
        if left
        else f"lead(e.{entered}) OVER (PARTITION BY e.{flow} ORDER BY e.{entered})",
        "flow": flow,
        "events": str(Relation.of(events["table"] or "")),
        "table": str(Relation.of(table.table)),
        "id": quote_name(table.id),
    }
    return fill(_STAYS, {"events": fill(_EVENTS, parts)})


def read_stays(row: Mapping[str, Any]) -> Stays:
    """One row of `select_stays`."""
    return Stays(row["n"], float(row["ml"]), float(row["mad"]), float(row["p99"]))


def _names(table: FlowTable, alias: str) -> dict[str, str]:
    single = {name: getattr(table, name) for name in ("id", "status", "type", "worker", "phase")}
    several = {name: getattr(table, name) for name in ("progress", "counters", "flags", "waits")}
    times = {name: getattr(table, name) for name in ("created_at", "changed_at", "status_changed_at")}
    return {
        **{name: value_of(alias, text) if text else "NULL" for name, text in single.items()},
        **{name: texts_of(alias, texts) for name, texts in several.items()},
        **{name: age_of(alias, text) for name, text in times.items()},
    }


def value_of(alias: str, text: str) -> str:
    """`column`, or the text at `column->key->key`."""
    column, *path = text.split("->")
    value = f"{alias}.{quote_name(column)}"
    keys = ", ".join(_literal(key) for key in path)
    return f"({value}::text::jsonb #>> ARRAY[{keys}])" if path else value


def texts_of(alias: str, names: Sequence[str]) -> str:
    """Columns as an array of texts."""
    return f"ARRAY[{', '.join(f'{value_of(alias, name)}::text' for name in names)}]::text[]"


def age_of(alias: str, name: str | None) -> str:
    """Seconds since the instant in a column."""
    if name is None:
        return "NULL::float8"
    return f"extract(epoch FROM clock_timestamp() - {value_of(alias, name)})::float8"


def _literal(text: str) -> str:
    """A string constant for a statement with parameters; any backslash is itself."""
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"
