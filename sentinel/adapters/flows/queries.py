"""The statements about flows: open rows, rows that left, masters and children (measurement.md §5).

Identifiers are quoted into the text, values are parameters. Rows come as one text, a JSON array on
each line: a row that has not changed is the same line again, and is not read again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sentinel.adapters.flows.table import FlowTable, Link
from sentinel.adapters.relation import Query, Relation, fill, find_scans, quote_name, value_of
from sentinel.errors import NotMeasurable

MAX_SCAN_COST = 5000.0
JOINED = 20_000

_MASTER = """CASE WHEN m.{key} IS NOT NULL THEN
       json_build_array({id}::text, lower({status}::text), {type}::text, {created_at}, {changed_at},
       left({tenant}::text, 200)) END"""
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
    names = child.names("f")
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
    await refuse_scan(
        query, alone, f"the open rows of {table.table}", lambda relation: f"{relation} {partial};"
    )
    if link is not None:
        what = f"the join of {table.table} and {link.master.table}"
        for sql in (statements.open or statements.kin, statements.finished):
            await refuse_scan(query, sql, what, lambda relation: link.index_on(relation, table))


async def refuse_scan(
    query: Query,
    sql: str,
    what: str,
    index: Callable[[Relation], str],
    params: Mapping[str, Any] | None = None,
) -> None:
    """Raise NotMeasurable, with the index to create, when a statement would read a large table from
    end to end.
    """
    for scan in await find_scans(query, sql, dict(params or {"limit": JOINED})):
        if scan.cost > MAX_SCAN_COST:
            raise NotMeasurable(
                f"refused to poll: no usable index for {what} (planner cost {scan.cost:.0f})",
                f"CREATE INDEX CONCURRENTLY ON {index(scan.relation)}".replace("%%", "%"),
            )


async def read_lines(query: Query, sql: str, params: Mapping[str, Any]) -> list[str]:
    """The lines of one statement."""
    text = (await query(sql, dict(params)))[0]["lines"]
    return text.split("\n") if text else []
