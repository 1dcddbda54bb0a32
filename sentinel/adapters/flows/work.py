"""Which children have a row of work in another table: asked of those alone whose master looks
unbegun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentinel.adapters.columns import prove_columns
from sentinel.adapters.flows.queries import refuse_scan
from sentinel.adapters.flows.table import RowsOfWork
from sentinel.adapters.relation import Query, Relation, fill, prove_visible, quote_name

AT_ONCE = 100
"""Few enough that the planner takes an index wherever the table is large."""
MOST_ASKED = 2000
_WORK = """
SELECT k.id AS id FROM unnest(%(ids)s::text[]) AS k(id)
WHERE EXISTS (SELECT 1 FROM {table} AS e WHERE e.{join}{cast} = k.id{type})"""


@dataclass(frozen=True, slots=True)
class WorkQuestion:
    """The statement, proven."""

    sql: str

    async def ask(self, query: Query, ids: Sequence[str]) -> frozenset[str]:
        """Those of the given children that have a row, of the first `MOST_ASKED`."""
        found: set[str] = set()
        asked = list(ids[:MOST_ASKED])
        for start in range(0, len(asked), AT_ONCE):
            rows = await query(self.sql, {"ids": asked[start : start + AT_ONCE]})
            found |= {row["id"] for row in rows}
        return frozenset(found)


async def prove_work(query: Query, rows: RowsOfWork, key_type: str) -> WorkQuestion:
    """The statement for a table that is there, whose rows we see, with an index. Raises with the
    remedy.

    `key_type`: SQL type of the children's id; where that of the join is another, both are compared
    as text.
    """
    relation = Relation.of(rows.table)
    await prove_visible(query, relation)
    types = await prove_columns(query, rows.table, [rows.join])
    same = types[rows.join] == key_type
    parts = {
        "table": str(relation),
        "join": quote_name(rows.join),
        "cast": "" if same else "::text",
        "type": f"::{key_type}".replace("%", "%%") if same else "",
    }
    sql = fill(_WORK, parts)
    column = quote_name(rows.join) if same else f"({quote_name(rows.join)}::text)"
    what = f"the rows of work in {rows.table}"
    params = {"ids": [None] * AT_ONCE}
    await refuse_scan(query, sql, what, lambda where: f"{where} ({column});", params)
    return WorkQuestion(sql)
