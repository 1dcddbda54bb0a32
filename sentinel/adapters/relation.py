"""What stands between sentinel and the rows of a configured table: names, row-level security, the
plan.

A monitor without these proofs reads 0 rows and calls that healthy (row-level security), or becomes
the outage itself (a sequential scan of a large table in every poll).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.errors import NotMeasurable, SubjectError

Query = Callable[..., Awaitable[list[dict[str, Any]]]]


def quote_name(name: str) -> str:
    """One identifier for a statement with parameters (so % is doubled); dots belong to the name."""
    return '"' + name.replace('"', '""').replace("%", "%%") + '"'


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view by schema and name, as configured: `schema.name`, or `name` in schema public."""

    schema: str
    name: str

    @classmethod
    def of(cls, text: str) -> Relation:
        """Read `schema.name`."""
        schema, dot, name = text.partition(".")
        return cls(schema, name) if dot else cls("public", text)

    def __str__(self) -> str:
        return f"{quote_name(self.schema)}.{quote_name(self.name)}"


_VISIBILITY = """
SELECT current_user::text AS role,
       CASE WHEN c.relkind IN ('r', 'p') THEN row_security_active(c.oid)
            WHEN 'security_invoker' IN (SELECT option_name FROM pg_options_to_table(c.reloptions)
                                        WHERE CASE option_name WHEN 'security_invoker' THEN option_value::boolean
                                              ELSE false END) THEN EXISTS (
              SELECT FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                JOIN pg_class base ON d.refclassid = 'pg_class'::regclass AND base.oid = d.refobjid
              WHERE r.ev_class = c.oid AND base.relkind IN ('r', 'p') AND row_security_active(base.oid))
            ELSE false END AS filtered
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s
"""


async def prove_visible(query: Query, relation: Relation) -> None:
    """Pass when no row-level security hides rows of `relation` from us.

    Raises SubjectError when there is no such relation, NotMeasurable (blind) when policies apply to
    us: a monitor role without a tenant sees 0 rows and no error.
    """
    found = await query(_VISIBILITY, {"schema": relation.schema, "name": relation.name})
    if not found:
        raise SubjectError(
            f"no such table or view: {relation.schema}.{relation.name}",
            "correct the name in the check",
        )
    if found[0]["filtered"]:
        raise NotMeasurable(
            f"blind: row-level security of {relation.schema}.{relation.name} applies to role"
            f" {found[0]['role']}",
            "read through a view whose owner has BYPASSRLS, or: ALTER ROLE"
            f" {quote_name(found[0]['role'])} BYPASSRLS;".replace("%%", "%"),
        )


@dataclass(frozen=True, slots=True)
class Scan:
    """A sequential scan of a plan: which table, and the planner's cost (about one per page of 8
    kB).
    """

    relation: Relation
    cost: float


async def find_scans(query: Query, sql: str, params: dict[str, Any]) -> list[Scan]:
    """The sequential scans that the planner would use for a statement; nothing is executed."""
    return [
        Scan(
            Relation(node.get("Schema", "public"), node["Relation Name"]), float(node["Total Cost"])
        )
        for node in await explain(query, sql, params)
        if node["Node Type"] == "Seq Scan"
    ]


async def explain(query: Query, sql: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a statement's plan as PostgreSQL's JSON names them, the root first; nothing is
    executed.
    """
    rows = await query(f"EXPLAIN (FORMAT JSON, VERBOSE) {sql}", params)
    return list(_nodes(rows[0]["QUERY PLAN"][0]["Plan"]))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


async def refuse_large_scan(
    query: Query, sql: str, params: dict[str, Any], column: str, limit: float = 5000.0
) -> None:
    """Raise NotMeasurable, with the index to create, when a poll would scan a table above `limit`
    planner cost.
    """
    for scan in await find_scans(query, sql, params):
        if scan.cost > limit:
            name = f"{scan.relation.schema}.{scan.relation.name}"
            raise NotMeasurable(
                f"refused to poll: {name} has no usable index on {column} (planner cost"
                f" {scan.cost:.0f})",
                f"CREATE INDEX CONCURRENTLY ON {scan.relation} USING brin ({quote_name(column)});".replace(
                    "%%", "%"
                )
                + f" ANALYZE {scan.relation};".replace("%%", "%")
                + " -- 272 kB for 10 million rows, btree instead when rows are not stored in order"
                " of time",
            )


def fill(template: str, parts: dict[str, str]) -> str:
    """Put parts into a template in one pass over its own marks: a mark inside a part is left alone."""
    pieces = template.split("{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}")
        filled.append(parts[name] + rest)
    return "".join(filled)


def value_of(alias: str, text: str) -> str:
    """`column`, or the text at `column->key->key`."""
    column, *path = text.split("->")
    value = f"{alias}.{quote_name(column)}"
    keys = ", ".join(_literal(key) for key in path)
    return f"({value}::text::jsonb #>> ARRAY[{keys}])" if path else value


def texts_of(alias: str, names: Sequence[str]) -> str:
    """Columns as an array of texts."""
    return f"ARRAY[{', '.join(f'{value_of(alias, name)}::text' for name in names)}]::text[]"


def instant_of(alias: str, name: str | None) -> str:
    """Unix seconds of the instant in a column."""
    if name is None:
        return "NULL::float8"
    return f"extract(epoch FROM {value_of(alias, name)})::float8"


def _literal(text: str) -> str:
    """A string constant for a statement with parameters; any backslash is itself."""
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"


@dataclass(frozen=True, slots=True)
class Statement:
    """A text and its parameters."""

    sql: str
    params: Mapping[str, Any]
