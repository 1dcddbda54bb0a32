"""The statements about tasks: commit horizon, deadline cohorts, histogram, open tasks (measurement.md §3.2, §3.5).

Identifiers are quoted into the text, values are parameters. Latencies and ages are seconds by the server's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sentinel.adapters.relation import Relation, quote_name

# The clock first: least() takes its arguments in order, so no transaction can begin between the look at the others
# and the reading of the clock.
HORIZON = """
SELECT clock_timestamp() AS now, pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
       current_user::text AS role,
       least(clock_timestamp(), (SELECT min(xact_start) FROM pg_stat_activity WHERE {others}),
             (SELECT min(prepared) FROM pg_prepared_xacts WHERE database = current_database())) AS horizon,
       (SELECT usename::text FROM pg_stat_activity WHERE {others} ORDER BY xact_start LIMIT 1) AS holder
""".replace(
    "{others}",
    "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    " AND state <> 'idle' AND xact_start IS NOT NULL AND NOT usename::text = ANY (%(readonly_roles)s)",
)

# One row per task created in [start, end): its queue, class and latency. An assignment before the creation, in the
# future, or a multiple of 30 min after it comes from another clock or time zone, and is no latency.
_TASKS = """
  SELECT queue, latency, age,
         CASE WHEN assigned IS NULL AND status = ANY (%(open)s) THEN 'unassigned'
              WHEN assigned IS NULL AND status = ANY (%(assigned)s) THEN 'missing'
              WHEN assigned IS NULL THEN 'censored'
              WHEN latency < 0 THEN 'negative'
              WHEN latency > age + 5 OR latency >= 3595 AND abs(latency - 1800 * round(latency / 1800)) < 5
                THEN 'offset'
              WHEN latency <= %(deadline)s THEN 'in_deadline'
              ELSE 'late' END AS class
  FROM (SELECT {queue} AS queue, {assigned_at} AS assigned, {status} AS status,
               extract(epoch FROM {assigned_at} - {created_at})::float8 AS latency,
               extract(epoch FROM clock_timestamp() - {created_at})::float8 AS age
        FROM {table} WHERE {created_at} >= %(start)s AND {created_at} < %(end)s) AS raw
"""
_SETTLE = "SELECT queue, class, count(*) AS n FROM ({tasks}) AS t GROUP BY queue, class"
_HISTOGRAM = """
SELECT queue, count(*) AS n, coalesce(sum(latency) FILTER (WHERE latency <= %(settle)s), 0)
       + %(settle)s * count(*) FILTER (WHERE latency IS NULL OR latency > %(settle)s) AS seconds,
       ARRAY[{buckets}] AS buckets
FROM ({tasks}) AS t WHERE class IN ('in_deadline', 'late', 'unassigned') GROUP BY queue
"""
_SAMPLE = """
SELECT array_agg(latency) FILTER (WHERE class <> 'unassigned') AS latencies, count(*) AS n
FROM (SELECT * FROM ({tasks}) AS t WHERE class IN ('in_deadline', 'late') ORDER BY age LIMIT %(sample)s) AS newest
"""
_OPEN = """
SELECT queue, count(*) AS n, (array_agg(age ORDER BY age DESC))[1:%(sample)s] AS ages
FROM ({tasks}) AS t WHERE class = 'unassigned' GROUP BY queue
"""
_COUNT = "SELECT count(*) AS n FROM {table} WHERE {created_at} >= %(start)s AND {created_at} < %(end)s"


@dataclass(frozen=True, slots=True)
class TaskTable:
    """Where tasks are and what their statuses mean; `status` and `queue` may be missing. Names as configured."""

    table: str
    created_at: str
    assigned_at: str
    status: str | None
    queue: str | None
    open_statuses: Sequence[str]
    assigned_statuses: Sequence[str]


class TaskStatements:
    """The statements for one table, with its identifiers quoted in, and the parameters that all of them take."""

    def __init__(
        self, tasks: TaskTable, deadline: float, settle_after: float, bounds: Sequence[float], sample: int
    ) -> None:
        status = f"lower({quote_name(tasks.status)}::text)" if tasks.status else "'open'::text"
        names = {
            "table": str(Relation.of(tasks.table)),
            "created_at": quote_name(tasks.created_at),
            "assigned_at": quote_name(tasks.assigned_at),
            "status": status,
            "queue": f"{quote_name(tasks.queue)}::text" if tasks.queue else "''::text",
        }
        buckets = ", ".join(f"count(*) FILTER (WHERE latency <= {bound!r})" for bound in bounds)
        classified = fill(_TASKS, names)
        self.settle = fill(_SETTLE, {"tasks": classified})
        self.histogram = fill(_HISTOGRAM, {"tasks": classified, "buckets": buckets})
        self.sample = fill(_SAMPLE, {"tasks": classified})
        self.open = fill(_OPEN, {"tasks": classified})
        self.count = fill(_COUNT, names)
        self._params = {
            "open": [status.lower() for status in tasks.open_statuses] if tasks.status else ["open"],
            "assigned": [status.lower() for status in tasks.assigned_statuses],
            "deadline": deadline,
            "settle": settle_after,
            "sample": sample,
        }

    def within(self, start: datetime, end: datetime) -> dict[str, Any]:
        """Parameters for tasks created in [start, end)."""
        return {**self._params, "start": start, "end": end}


def fill(template: str, parts: dict[str, str]) -> str:
    """Put parts into a template in one pass over its own marks: a mark inside a part is left alone."""
    pieces = template.split("{")
    filled = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}")
        filled.append(parts[name] + rest)
    return "".join(filled)
