"""Are the configured columns there, and are those of times really times? Asked of the catalog,
before any row.
"""

from __future__ import annotations

from collections.abc import Sequence

from sentinel.adapters.relation import Query, Relation
from sentinel.errors import SubjectError

_COLUMNS = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, t.typcategory::text AS category
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND a.attnum > 0 AND NOT a.attisdropped"""
_TIME = "D"


async def prove_columns(
    query: Query,
    table: str,
    columns: Sequence[str | None],
    times: Sequence[str | None] = (),
    *,
    to_the_second: bool = False,
) -> dict[str, str]:
    """Column → SQL type of a table or view. `column->key` names a column; None stands for one that
    is not configured.

    Raises SubjectError with the columns that there are when one is missing, and when one of `times`
    is no time: a time of day never is, a date is none where time is measured `to_the_second`.
    """
    relation = Relation.of(table)
    rows = await query(_COLUMNS, {"schema": relation.schema, "name": relation.name})
    types, categories = (
        {row["name"]: row["type"] for row in rows},
        {row["name"]: row["category"] for row in rows},
    )
    asked = {text.partition("->")[0] for text in [*columns, *times] if text}
    missing = sorted(asked - types.keys())
    if missing:
        raise SubjectError(
            f"no such column: {', '.join(missing)} in {relation.schema}.{relation.name}",
            f"correct the mapping; the columns are {', '.join(sorted(types))[:300]}",
        )
    for name in times:
        if name is None or "->" in name:
            continue
        is_instant = categories[name] == _TIME and not types[name].startswith(("time ", "time("))
        if not is_instant or (to_the_second and types[name] == "date"):
            raise SubjectError(
                f"no time: {name} of {relation.schema}.{relation.name} is of type {types[name]}",
                "name a column of type timestamptz, or a view that converts it, with"
                " to_timestamp(…) or ::timestamptz",
            )
    return types
