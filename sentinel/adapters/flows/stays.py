"""Completed stays from a table of transitions: what limits are learned from (measurement.md
§11.12).
"""

from __future__ import annotations

from collections.abc import Mapping

from sentinel.adapters.columns import as_instant, find_clocks, prove_columns
from sentinel.adapters.flows.table import FlowTable
from sentinel.adapters.relation import Query, Relation, fill, find_scans, prove_visible, quote_name
from sentinel.adapters.relation import value_of as column_of
from sentinel.core.flows.dwell import DAYS, LONGEST, STEP, Stays
from sentinel.core.moment.skew import Basis, ColumnClock, tell_cure
from sentinel.errors import NotMeasurable

MAX_COST = 100_000.0
"""Pages: what is asked once a day may cost more than a poll."""
_STAYS = """
WITH d AS (SELECT type, status, greatest(seconds, 0.001) AS seconds, ended FROM ({events}) AS e
           WHERE seconds >= 0 AND ended >= clock_timestamp() - interval '{days} days'),
 b AS (SELECT type, status, ceil(ln(seconds) / {step})::int AS bucket, count(*) AS n FROM d GROUP BY 1, 2, 3),
 t AS (SELECT type, status, seconds, row_number() OVER (PARTITION BY type, status ORDER BY seconds DESC) AS rank
       FROM d),
 l AS (SELECT type, status, array_agg(seconds) AS longest FROM t WHERE rank <= {longest} GROUP BY 1, 2),
 f AS (SELECT type, status, extract(epoch FROM min(ended))::float8 AS first FROM d GROUP BY 1, 2)
SELECT b.type, b.status, array_agg(b.bucket) AS buckets, array_agg(b.n) AS counts, f.first, l.longest
FROM b JOIN f ON f.status = b.status AND f.type IS NOT DISTINCT FROM b.type
       JOIN l ON l.status = b.status AND l.type IS NOT DISTINCT FROM b.type
GROUP BY b.type, b.status, f.first, l.longest ORDER BY sum(b.n) DESC LIMIT 200"""
_EVENTS = """
SELECT {type}::text AS type, coalesce(lower(e.{status}::text), '') AS status, {left} AS ended,
       extract(epoch FROM {left} - {entered})::float8 AS seconds
FROM {events} AS e JOIN {table} AS f ON f.{id}::text = e.{flow}::text"""


async def read_stays(
    query: Query, events: Mapping[str, str | None], table: FlowTable
) -> dict[tuple[str, str], Stays]:
    """The stays that ended in the last 30 days, by type (as the table has it) and status.

    Without `left_at` a stay ends at the flow's next row. Raises SubjectError for what is not there,
    and NotMeasurable where it would cost too much.
    """
    where, zone = events["table"] or "", events.get("zone")
    await prove_visible(query, Relation.of(where))
    times = [events["entered_at"], events["left_at"]]
    await prove_columns(query, where, [events["flow"], events["status"]], times)
    clocks = await find_clocks(query, where, times, zone)
    for clock in clocks.values():
        if clock.basis is Basis.DISAGREED:
            raise NotMeasurable(
                f"nobody can tell how long stays were: {clock.describe()}", tell_cure(clock)
            )
    sql = select_stays(events, table, clocks)
    for scan in await find_scans(query, sql, {}):
        if scan.cost > MAX_COST:
            raise NotMeasurable(
                f"refused to learn from {where}: {scan.relation.name} is too large to be read from"
                f" end to end (planner cost {scan.cost:.0f}, at most {MAX_COST:.0f})",
                f"name a view of {where} with the last {DAYS} days, or drop transitions: then limits"
                " are learned by watching",
            )
    return {
        (row["type"] or "", row["status"]): Stays.of(
            dict(zip(row["buckets"], row["counts"], strict=True)), row["first"], row["longest"]
        )
        for row in await query(sql)
    }


def select_stays(
    events: Mapping[str, str | None], table: FlowTable, clocks: Mapping[str, ColumnClock]
) -> str:
    """The statement; buckets are those of `Stays`."""

    def instant(name: str) -> str:
        return as_instant(f"e.{quote_name(name)}", clocks.get(name))

    entered, flow = instant(events["entered_at"] or ""), quote_name(events["flow"] or "")
    left = events["left_at"]
    parts = {
        "type": column_of("f", table.type) if table.type else "NULL",
        "status": quote_name(events["status"] or ""),
        "entered": entered,
        "left": (
            instant(left)
            if left
            else f"lead({entered}) OVER (PARTITION BY e.{flow} ORDER BY {entered})"
        ),
        "flow": flow,
        "events": str(Relation.of(events["table"] or "")),
        "table": str(Relation.of(table.table)),
        "id": quote_name(table.id),
    }
    of_window = {"days": str(DAYS), "step": repr(STEP), "longest": str(LONGEST)}
    return fill(_STAYS, {"events": fill(_EVENTS, parts), **of_window})
