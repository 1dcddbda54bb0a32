"""Counting rows that belong to nobody, table by table; each count is bounded, and no row is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.relation import Relation, quote_name
from sentinel.adapters.tenants import queries
from sentinel.adapters.tenants.trying import TriedTable
from sentinel.core.tenants.owner import COUNTED_ROWS, OrphanedRows
from sentinel.errors import NotMeasurable


@dataclass(frozen=True, slots=True)
class OwnerWish:
    """What to count: the column with the tenant, tenants that stand for none, and where tenants are:
    (table, column).
    """

    column: str
    fallback: Sequence[str] = ()
    tenants: tuple[str, str] | None = None


async def find_tables(client: PostgresClient, column: str, limit: int) -> list[TriedTable]:
    """Every table that has the column, but for the parts of a partitioned one: those are in it."""
    rows = await client.query(queries.WHOLE_TABLES, {"column": column, "limit": limit})
    return [
        TriedTable(r["oid"], r["name"], r["quoted"].replace("%", "%%"), r["type"]) for r in rows
    ]


async def count_orphans(client: PostgresClient, table: TriedTable, wish: OwnerWish) -> OrphanedRows:
    """The counts of one table. NotMeasurable where policies hide rows from sentinel: 0 would be a
    lie; where a right is missing, with its GRANT.
    """
    own = quote_name(wish.column)
    async with client.snapshot() as query:
        seen = await query(queries.VISIBLE, {"oid": table.oid})
        if seen[0]["hidden"]:
            raise NotMeasurable(
                f"row-level security hides rows of {table.name} from {seen[0]['me']}",
                "ask through a view of a role that sees all tenants; checks/acl/postgres.sql shows how",
            )

        async def count(where: str) -> int:
            sql = f"SELECT count(*) AS n FROM (SELECT 1 FROM {table.quoted} AS t WHERE {where}"  # noqa: S608
            rows = await query(
                f"{sql} LIMIT {COUNTED_ROWS}) AS found", {"known": list(wish.fallback)}
            )
            return int(rows[0]["n"])

        try:
            missing = await count(f"t.{own} IS NULL OR t.{own}::text = ''")
            fallback = unknown = None
            if wish.fallback:
                fallback = await count(f"t.{own} = ANY (%(known)s::{table.type}[])")
            if wish.tenants is not None:
                name, key = str(Relation.of(wish.tenants[0])), quote_name(wish.tenants[1])
                exists = f"EXISTS (SELECT FROM {name} AS k WHERE k.{key} = t.{own})"
                unknown = await count(f"t.{own} IS NOT NULL AND NOT {exists}")
        except NotMeasurable as error:
            if error.code != "42501":
                raise
            grant = f"GRANT SELECT ({own}) ON {table.quoted} TO {quote_name(seen[0]['me'])};"
            raise NotMeasurable(error.message, grant, code=error.code) from error
    return OrphanedRows(table.name, missing, fallback, unknown)
