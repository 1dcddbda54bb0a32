"""The statements about tasks: commit horizon, deadline cohorts, histogram, open tasks
(measurement.md §3.2–§3.5).

Identifiers are quoted into the text, values are parameters. Latencies and ages are seconds by the
server's clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sentinel.adapters.relation import Relation, fill, quote_name

# The clock first: least() takes its arguments in order, so no transaction can begin between the
# look at the others and the reading of the clock.
HORIZON = """
SELECT clock_timestamp() AS now, pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
       current_user::text AS role,
       least(clock_timestamp(), (SELECT min(xact_start) FROM pg_stat_activity WHERE {others}),
             (SELECT min(prepared) FROM pg_prepared_xacts WHERE database = current_database())) AS horizon,
       (SELECT usename::text FROM pg_stat_activity WHERE {others} ORDER BY xact_start LIMIT 1) AS holder
""".replace(
    "{others}",
    "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    " AND state <> 'idle' AND xact_start IS NOT NULL AND NOT usename::text = ANY"
    " (%(readonly_roles)s)",
)
TYPE_OF = """
SELECT format_type(a.atttypid, a.atttypmod) AS type FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND a.attname = %(column)s AND NOT a.attisdropped
"""

# Rows inserted since the statistics began, whatever their times say; 0 for a view.
INSERTED = """
SELECT coalesce(sum(s.n_tup_ins), 0)::int8 AS n FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_stat_all_tables s ON s.relid = c.oid OR s.relid IN (SELECT relid FROM pg_partition_tree(c.oid))
WHERE n.nspname = %(schema)s AND c.relname = %(name)s
"""

_HOUR = timedelta(hours=1)

# One row per task: its queue, class and latency. An assignment before the creation, in the future,
# or a multiple of 30 min after it comes from another clock or time zone, and is no latency.
_TASKS = """
  SELECT queue, latency, age{outer},
         CASE WHEN assigned IS NULL AND (status IS NULL OR status = ANY (%(open)s)) THEN 'unassigned'
              WHEN assigned IS NULL AND status = ANY (%(assigned)s) THEN 'missing'
              WHEN assigned IS NULL THEN 'censored'
              WHEN latency < 0 THEN 'negative'
              WHEN latency > age + 5 OR latency >= 3595 AND abs(latency - 1800 * round(latency / 1800)) < 5
                THEN 'offset'
              WHEN latency <= %(deadline)s THEN 'in_deadline'
              ELSE 'late' END AS class
  FROM (SELECT {queue} AS queue, {assigned_at} AS assigned, {status} AS status,
               extract(epoch FROM {assigned_at} - {created_at})::float8 AS latency,
               extract(epoch FROM clock_timestamp() - {created_at})::float8 AS age{inner}
        FROM {table} WHERE {where}) AS raw
"""
_WINDOW = "{created_at} >= %(start)s AND {created_at} < %(end)s"
_OPEN_WINDOW = _WINDOW + " AND {assigned_at} IS NULL"
_OPEN_BEFORE = "{created_at} >= %(oldest)s AND {created_at} < %(start)s AND {assigned_at} IS NULL"
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
SELECT queue, count(*) AS n, (array_agg(age ORDER BY age DESC))[1:%(sample)s] AS ages, {ids} AS ids
FROM ({tasks}) AS t WHERE class = 'unassigned' GROUP BY queue
"""
_NO_IDS = "ARRAY[]::text[]"
_IDS = "(array_agg(left(id, 80) ORDER BY age DESC))[1:3]"
_COUNT = "SELECT count(*) AS n FROM {table} WHERE {where}"

# What happened in the hour before the end of the window, to tasks created in it, by their own
# timestamps.
_THROUGHPUT = """
SELECT queue, count(*) FILTER (WHERE was_assigned) AS assigned, count(*) FILTER (WHERE was_completed) AS completed
FROM (SELECT {queue} AS queue, {assigned_at} > %(hour)s AND {assigned_at} <= %(end)s AS was_assigned,
             {completed} AS was_completed FROM {table} WHERE {where}) AS t
WHERE was_assigned OR was_completed GROUP BY queue
"""
_COMPLETED = "{column} > %(hour)s AND {column} <= %(end)s"

# Each stage by its own two columns. What began and has not ended is unfinished and no duration; an
# end before the beginning or in the future is another clock (for the first stage: by the class of
# the task).
_STAGES = """
SELECT stage, count(*) FILTER (WHERE fits) AS n, coalesce(sum(seconds) FILTER (WHERE fits), 0) AS seconds,
       ARRAY[{buckets}] AS buckets, count(*) FILTER (WHERE seconds IS NULL) AS unfinished,
       count(*) FILTER (WHERE seconds IS NOT NULL AND NOT fits) AS skewed
FROM (SELECT stage, seconds, seconds >= 0 AND since_end >= -5
             AND (stage <> 'queue_wait' OR class IN ('in_deadline', 'late')) AS fits
      FROM ({tasks}) AS t CROSS JOIN LATERAL (VALUES {stages}) AS s (stage, began, ended)
      CROSS JOIN LATERAL (SELECT extract(epoch FROM ended - began)::float8 AS seconds,
                                 extract(epoch FROM clock_timestamp() - ended)::float8 AS since_end) AS d
      WHERE began IS NOT NULL) AS e GROUP BY stage
"""

# Tenants with enough tasks. A wait within the deadline counts as the deadline: below it nobody is
# worse off.
_TENANTS = """
WITH waits AS (
  SELECT tenant, class = 'unassigned' AS waiting,
         greatest(CASE WHEN class = 'unassigned' THEN age ELSE latency END, %(deadline)s) AS wait
  FROM ({tasks}) AS t WHERE class IN ('in_deadline', 'late', 'unassigned')
  UNION ALL
  SELECT tenant, true, age FROM ({older}) AS t WHERE class = 'unassigned'),
 by_tenant AS (
  SELECT coalesce(tenant, 'none') AS tenant, count(*) AS n, count(*) FILTER (WHERE waiting) AS waiting,
         percentile_disc(0.9) WITHIN GROUP (ORDER BY wait) AS p90, avg(wait) AS mean
  FROM waits GROUP BY 1 HAVING count(*) >= %(min_events)s)
SELECT left(tenant, 100) AS tenant, n, waiting, p90, mean, count(*) OVER () AS tenants, min(p90) OVER () AS best,
       (sum(n) OVER ())::int8 AS tasks, sum(n * mean) OVER () AS waited, sum(mean) OVER () AS means,
       sum(mean * mean) OVER () AS squares
FROM by_tenant ORDER BY p90 DESC, mean DESC, tenant LIMIT 20
"""

# One row per task, for those that are followed one by one.
_SIGHTS = """
SELECT id, queue, class, latency, age, created, assigned, state FROM ({tasks}) AS t ORDER BY created, id
LIMIT %(limit)s
"""
_SIGHT_INNER = ", {id}::text AS id, extract(epoch FROM {created_at})::float8 AS created"
_SIGHT_OUTER = """, id, created, extract(epoch FROM assigned)::float8 AS assigned,
         CASE WHEN status = ANY (%(open)s) THEN 'open' WHEN status = ANY (%(assigned)s) THEN 'assigned'
              ELSE 'other' END AS state"""


@dataclass(frozen=True, slots=True)
class TaskTable:
    """Where tasks are and what their statuses mean; None: there is no such column. Names as
    configured.
    """

    table: str
    created_at: str
    assigned_at: str
    status: str | None
    queue: str | None
    open_statuses: Sequence[str]
    assigned_statuses: Sequence[str]
    id: str = "id"
    tenant: str | None = None
    started_at: str | None = None
    progress_at: str | None = None
    completed_at: str | None = None

    @property
    def stages(self) -> dict[str, tuple[str, str]]:
        """Stage → (column of its beginning, of its end), for the stages whose columns exist; none
        when only one is.
        """
        columns = {
            "queue_wait": (self.created_at, self.assigned_at),
            "pickup": (self.assigned_at, self.started_at),
            "first_progress": (self.started_at, self.progress_at),
            "run": (self.started_at, self.completed_at),
        }
        found = {stage: (begin, end) for stage, (begin, end) in columns.items() if begin and end}
        return found if len(found) > 1 else {}


class TaskStatements:
    """The statements for one table, with its identifiers quoted in, and the parameters that all of
    them take.

    `stages`, `tenants` are empty when their columns are not configured; `sights` needs the type of
    the id column; `open_named` is `open` with ids, for tables that have such a column.
    """

    def __init__(
        self,
        tasks: TaskTable,
        deadline: float,
        settle_after: float,
        bounds: Sequence[float],
        sample: int,
        stage_bounds: Sequence[float] = (),
        min_events: int = 1,
    ) -> None:
        self.table = tasks
        self._names = _quote(tasks)
        self._window = fill(_WINDOW, self._names)
        still_open = fill(_OPEN_WINDOW, self._names)
        rows = self._rows(self._window)
        self.settle = fill(_SETTLE, {"tasks": rows})
        self.histogram = fill(_HISTOGRAM, {"tasks": rows, "buckets": _buckets("latency", bounds)})
        self.sample = fill(_SAMPLE, {"tasks": rows})
        self.open = fill(_OPEN, {"tasks": self._rows(still_open), "ids": _NO_IDS})
        named = self._rows(still_open, ", id", fill(", {id}::text AS id", self._names))
        self.open_named = fill(_OPEN, {"tasks": named, "ids": _IDS})
        self.count = fill(_COUNT, {**self._names, "where": self._window})
        self.throughput = fill(
            _THROUGHPUT, {**self._names, "where": self._window, "completed": self._completed()}
        )
        self.stages = self._stages(stage_bounds) if tasks.stages else ""
        self.tenants = self._tenants() if tasks.tenant else ""
        self.arrivals = fill(_SIGHTS, {"tasks": self._sights(self._window)})
        self.backlog = fill(_SIGHTS, {"tasks": self._sights(still_open)})
        self._params = {
            "open": (
                [status.lower() for status in tasks.open_statuses] if tasks.status else ["open"]
            ),
            "assigned": [status.lower() for status in tasks.assigned_statuses],
            "deadline": deadline,
            "settle": settle_after,
            "sample": sample,
            "min_events": min_events,
        }

    def within(self, start: datetime, end: datetime, **more: Any) -> dict[str, Any]:
        """Parameters for tasks created in [start, end)."""
        return {**self._params, "start": start, "end": end, "hour": end - _HOUR, **more}

    def back(self, now: datetime, seconds: float, **more: Any) -> dict[str, Any]:
        """Parameters for tasks created in so many seconds before `now`."""
        return self.within(now - timedelta(seconds=seconds), now, **more)

    def sights(self, type_: str) -> str:
        """Tasks by id, as text array `ids`; `type_` is the column's type, else no index can be
        used.
        """
        ids = f"{self._names['id']} = ANY (%(ids)s::{type_.replace('%', '%%')}[])"
        return fill(_SIGHTS, {"tasks": self._sights(ids)})

    def looking_up(self, ids: Sequence[str]) -> dict[str, Any]:
        """Parameters of `sights`."""
        return {**self._params, "ids": list(ids), "limit": len(ids)}

    def _rows(self, where: str, outer: str = "", inner: str = "") -> str:
        return fill(_TASKS, {**self._names, "where": where, "outer": outer, "inner": inner})

    def _sights(self, where: str) -> str:
        return self._rows(where, _SIGHT_OUTER, fill(_SIGHT_INNER, self._names))

    def _completed(self) -> str:
        column = self.table.completed_at
        return fill(_COMPLETED, {"column": quote_name(column)}) if column else "false"

    def _stages(self, bounds: Sequence[float]) -> str:
        marks = sorted({column for pair in self.table.stages.values() for column in pair})
        alias = {column: f"at_{i}" for i, column in enumerate(marks)}
        inner = "".join(f", {quote_name(column)} AS {name}" for column, name in alias.items())
        outer = "".join(f", {name}" for name in alias.values())
        stages = ", ".join(
            f"('{s}', {alias[a]}, {alias[b]})" for s, (a, b) in self.table.stages.items()
        )
        tasks = self._rows(self._window, outer, inner)
        buckets = _buckets("seconds", bounds, "fits AND ")
        return fill(_STAGES, {"tasks": tasks, "stages": stages, "buckets": buckets})

    def _tenants(self) -> str:
        inner = f", {quote_name(self.table.tenant or '')}::text AS tenant"
        older = self._rows(fill(_OPEN_BEFORE, self._names), ", tenant", inner)
        tasks = self._rows(self._window, ", tenant", inner)
        return fill(_TENANTS, {"tasks": tasks, "older": older})


def _quote(tasks: TaskTable) -> dict[str, str]:
    return {
        "table": str(Relation.of(tasks.table)),
        "id": quote_name(tasks.id),
        "created_at": quote_name(tasks.created_at),
        "assigned_at": quote_name(tasks.assigned_at),
        "status": f"lower({quote_name(tasks.status)}::text)" if tasks.status else "'open'::text",
        "queue": f"{quote_name(tasks.queue)}::text" if tasks.queue else "''::text",
    }


def _buckets(value: str, bounds: Sequence[float], also: str = "") -> str:
    return ", ".join(f"count(*) FILTER (WHERE {also}{value} <= {bound!r})" for bound in bounds)
