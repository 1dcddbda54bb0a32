"""The statements about flows: open rows, rows that left, masters and children, completed stays
(measurement.md §5).

A column is named as `column`, or `column->key->key` for a value inside JSON. Identifiers are quoted
into the text, values are parameters; instants are Unix seconds, naive times are taken as UTC. Rows
come as one text, a JSON array on each line: a row that has not changed is the same line again, and
is not read again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.adapters.relation import (
    Query,
    Relation,
    _literal,
    fill,
    find_scans,
    instant_of,
    quote_name,
    texts_of,
    value_of,
)
from sentinel.core.flows.dwell import Stays
from sentinel.core.flows.stuck import FlowSight, read_progress
from sentinel.core.quantity import is_true
from sentinel.errors import NotMeasurable

MAX_SCAN_COST = 5000.0
JOINED = 20_000

_ROW = """json_build_array({id}::text, lower({status}::text), {type}::text, {worker}::text,
       {progress}, {phase}::text, {waits}, {counters}, {flags}, {created_at}, {changed_at}, {status_changed_at},
       left({name}::text, 200))"""
_MASTER = """CASE WHEN m.{key} IS NOT NULL THEN
       json_build_array({id}::text, lower({status}::text), {type}::text, {created_at}, {changed_at}) END"""
_LINES = "SELECT string_agg(line, chr(10)) AS lines FROM ({rows}) AS r"
_OPEN = (
    "SELECT {line}::text AS line FROM {table} AS f{join} WHERE {is_open}{more} ORDER BY {oldest}"
    " LIMIT %(limit)s"
)
_GONE = "SELECT {line}::text AS line FROM {table} AS f WHERE {key} = ANY (%(ids)s::{type}[])"
_JOIN = " LEFT JOIN {table} AS m ON m.{key}{cast} = {reference}"
_REFERS = " AND {reference} <> {own}"
_FINISHED = """
SELECT json_build_array({row}, f.{child_id}::text, lower({child_status}::text), {child_changed})::text AS line
FROM {table} AS m JOIN {child_table} AS f ON m.{key}{cast} = {reference}
WHERE {is_open} AND NOT ({child_is_open}) LIMIT %(limit)s"""
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
    """Where flows are, by column names as configured; `terminal`: raw status texts in lower case
    that are over.
    """

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
    name: str | None = None

    @property
    def columns(self) -> list[str | None]:
        """All columns that are configured, but those of times."""
        several = [*self.progress, *self.counters, *self.flags, *self.waits]
        return [self.id, self.name, self.status, self.type, self.worker, self.phase, *several]

    @property
    def times(self) -> list[str | None]:
        """Columns that must be times."""
        return [self.created_at, self.changed_at, self.status_changed_at]

    def row(self, alias: str) -> str:
        """The JSON array of a flow, read from `alias`."""
        return fill(_ROW, _names(self, alias))

    def is_open(self, alias: str) -> str:
        """Condition of a flow that is not over; a status of NULL is none that is over."""
        ended = ", ".join(_literal(text) for text in self.terminal)
        return f"{self._status(alias)} <> ALL (ARRAY[{ended}]::text[])"

    def _status(self, alias: str) -> str:
        return f"coalesce(lower({value_of(alias, self.status)}::text), '')"

    @property
    def statistics(self) -> str:
        """Statement that lets the planner know how few rows are open, without which it would read
        them all.
        """
        relation = Relation.of(self.table)
        name = Relation(relation.schema, f"{relation.name}_open")
        return (
            f"CREATE STATISTICS {name} ON ({self._status('f').replace('f.', '')}) FROM {relation};"
            f" ANALYZE {relation};"
        )


@dataclass(frozen=True, slots=True)
class Link:
    """How a child finds its master: the first of `join` that is not NULL is the master's `key`.

    `by_text`: compared as text; `is_own`: children and masters are rows of one table.
    """

    master: FlowTable
    key: str
    join: Sequence[str]
    by_text: bool
    is_own: bool = False

    @property
    def own_key(self) -> str:
        """The key by which a row of the table would be its own master."""
        return f"f.{quote_name(self.key)}{'::text' if self.by_text else ''}"

    @property
    def reference(self) -> str:
        """The child's side of the join."""
        cast = "::text" if self.by_text else ""
        columns = [f"f.{quote_name(column)}{cast}" for column in self.join]
        return columns[0] if len(columns) == 1 else f"coalesce({', '.join(columns)})"

    def index_on(self, relation: Relation, child: FlowTable) -> str:
        """What to index for the join of a relation that would be read from end to end, and what to
        tell the planner.

        Of the child's table its reference, of the master's its key.
        """
        cast = "::text" if self.by_text else ""
        is_child = self.is_own or relation == Relation.of(child.table)
        expression = (
            self.reference.replace("f.", "") if is_child else f"{quote_name(self.key)}{cast}"
        )
        place = (
            f"({expression})" if expression.startswith('"') and not cast else f"(({expression}))"
        )
        return f"{relation} {place}; {(child if is_child else self.master).statistics}"

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
    """Texts for one table, each of which gives `lines`.

    `open`: open rows, each with its master where there is a link; `gone`: rows by ids; `finished`:
    open masters with a child that is over. `open` and `finished` take limit. `open` is empty for
    children in the master's own table, whose rows are read with the masters: `kin` has their ids
    and masters.
    """

    open: str = ""
    gone: str = ""
    kin: str = ""
    finished: str = ""


def make_statements(
    table: FlowTable, types: Mapping[str, str], link: Link | None = None
) -> Statements:
    """The statements for a table whose column types are known."""
    own = link is not None and link.is_own
    line = table.row("f")
    if link is not None:
        child = f"f.{quote_name(table.id)}::text" if own else line
        line = f"json_build_array({child}, {fill(_MASTER, link.parts())})"
    key = {
        "line": table.row("f"),
        "table": str(Relation.of(table.table)),
        "key": f"f.{quote_name(table.id)}",
    }
    gone = fill(_GONE, {**key, "type": types[table.id].replace("%", "%%")})
    rows = _lines(_select_open(table, line, link))
    finished = _lines(_finished(table, link)) if link else ""
    if own:
        return Statements(kin=rows, finished=finished)
    return Statements(rows, _lines(gone), "", finished)


def _select_open(table: FlowTable, line: str, link: Link | None) -> str:
    own = link is not None and link.is_own
    parts = {
        "line": line,
        "table": str(Relation.of(table.table)),
        "is_open": table.is_open("f"),
        "oldest": (
            value_of("f", table.created_at) if table.created_at else f"f.{quote_name(table.id)}"
        ),
        "join": fill(_JOIN, link.parts()) if link else "",
        "more": (
            fill(_REFERS, {"reference": link.reference, "own": link.own_key})
            if link and own
            else ""
        ),
    }
    return fill(_OPEN, parts)


def _lines(rows: str) -> str:
    return fill(_LINES, {"rows": rows})


def _finished(child: FlowTable, link: Link) -> str:
    names = _names(child, "f")
    own = {
        "row": link.master.row("m"),
        "is_open": link.master.is_open("m"),
        "child_id": quote_name(child.id),
        "child_status": names["status"],
        "child_changed": names["changed_at"],
        "child_table": str(Relation.of(child.table)),
        "child_is_open": child.is_open("f"),
    }
    return fill(_FINISHED, {**link.parts(), **own})


async def refuse_scans(
    query: Query, table: FlowTable, statements: Statements, link: Link | None = None
) -> None:
    """Raise NotMeasurable, with the index to create, when a poll would read a large table from end
    to end.
    """
    column = quote_name(table.created_at or table.id)
    partial = f"({column}) WHERE {table.is_open('f').replace('f.', '')}"
    alone = _lines(_select_open(table, table.row("f"), None))
    await _refuse(
        query, alone, f"the open rows of {table.table}", lambda relation: f"{relation} {partial};"
    )
    if link is not None:
        what = f"the join of {table.table} and {link.master.table}"
        for sql in (statements.open or statements.kin, statements.finished):
            await _refuse(query, sql, what, lambda relation: link.index_on(relation, table))


async def _refuse(query: Query, sql: str, what: str, index: Callable[[Relation], str]) -> None:
    for scan in await find_scans(query, sql, {"limit": JOINED}):
        if scan.cost > MAX_SCAN_COST:
            raise NotMeasurable(
                f"refused to poll: no usable index for {what} (planner cost {scan.cost:.0f})",
                f"CREATE INDEX CONCURRENTLY ON {index(scan.relation)}".replace("%%", "%"),
            )


async def read_lines(query: Query, sql: str, params: Mapping[str, Any]) -> list[str]:
    """The lines of one statement."""
    text = (await query(sql, dict(params)))[0]["lines"]
    return text.split("\n") if text else []


def read_sight(row: Sequence[Any], aliases: Mapping[str, str], type_: str | None) -> FlowSight:
    """A row as a sight; `aliases`: status text → canonical status; `type_`: the type of all, when
    no column tells.
    """
    (
        id_,
        status,
        own_type,
        worker,
        progress,
        phase,
        waits,
        counters,
        flags,
        created,
        changed,
        entered,
        name,
    ) = row
    status = status or ""
    return FlowSight(
        id=id_ or "",
        type=(own_type or "") if type_ is None else type_,
        status=aliases.get(status, status),
        created=read_instant(created),
        changed=read_instant(changed),
        entered=read_instant(entered),
        progress=read_progress(progress),
        phase=phase or "",
        counters=tuple(text or "" for text in counters),
        flags=tuple(is_true(text) for text in flags),
        worker=worker or "",
        waits=any(is_true(text) for text in waits),
        name=name or "",
    )


def read_master(
    row: Sequence[Any] | None, aliases: Mapping[str, str], type_: str | None
) -> FlowSight | None:
    """What is read of a master beside its child; None when there is none."""
    if row is None:
        return None
    id_, status, own_type, created, changed = row
    status = status or ""
    own = (own_type or "") if type_ is None else type_
    return FlowSight(
        id_ or "", own, aliases.get(status, status), read_instant(created), read_instant(changed)
    )


def read_instant(value: Any) -> float | None:
    """Unix seconds; an infinite time, which comes as text, is none."""
    return float(value) if value is not None and math.isfinite(float(value)) else None


def read_line(line: str) -> Any:
    """One line as a JSON array."""
    return json.loads(line)


def select_stays(events: Mapping[str, str | None], table: FlowTable) -> str:
    """Completed stays by type and status from a table of transitions. Without `left_at` a stay ends
    at the next row.
    """
    entered = quote_name(events["entered_at"] or "")
    flow = quote_name(events["flow"] or "")
    left = events["left_at"]
    parts = {
        "type": value_of("f", table.type) if table.type else "NULL",
        "status": quote_name(events["status"] or ""),
        "entered": entered,
        "left": (
            f"e.{quote_name(left)}"
            if left
            else f"lead(e.{entered}) OVER (PARTITION BY e.{flow} ORDER BY e.{entered})"
        ),
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
    once = ("id", "name", "status", "type", "worker", "phase")
    single = {name: getattr(table, name) for name in once}
    several = {name: getattr(table, name) for name in ("progress", "counters", "flags", "waits")}
    times = {
        name: getattr(table, name) for name in ("created_at", "changed_at", "status_changed_at")
    }
    return {
        **{name: value_of(alias, text) if text else "NULL" for name, text in single.items()},
        **{name: texts_of(alias, texts) for name, texts in several.items()},
        **{name: instant_of(alias, text) for name, text in times.items()},
    }
