"""The statements about tasks: commit horizon, deadline cohorts, histogram, open tasks
(measurement.md §3.2–§3.5).

Identifiers are quoted into the text, values are parameters. Latencies and ages are seconds by the
server's clock. Columns are compared as they are, so that their indexes serve: what they are
compared with is brought onto the axis of the column, which is that of instants or of wall times
(§11.11).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sentinel.adapters.columns import as_instant
from sentinel.adapters.relation import Relation, fill, quote_name
from sentinel.core.moment.skew import QUARTER, TOLERANCE, ColumnClock
from sentinel.core.moment.zone import wall_of
from sentinel.core.tasks.ledger import AHEAD_FROM, MINUTE

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

HOUR = 3_600.0
_HOUR = timedelta(seconds=HOUR)

# The screen for a span (core/moment/skew.py): whole quarters of an hour, from an hour on.
_SCREEN = {
    f"{span}_is_off": f"{span} >= {HOUR - TOLERANCE}"
    f" AND abs({span} - {QUARTER} * round({span} / {QUARTER})) < {TOLERANCE}"
    for span in ("latency", "seconds")
}

# One row per task: its queue, class and latency. An assignment before the creation, in the future,
# or whole hours after it (also 15, 30 and 45 minutes more) comes from another clock or time zone,
# and is no latency.
_TASKS = """
  SELECT queue, latency, age{outer},
         CASE WHEN assigned IS NULL AND (status IS NULL OR status = ANY (%(open)s)) THEN 'unassigned'
              WHEN assigned IS NULL AND status = ANY (%(assigned)s) THEN 'missing'
              WHEN assigned IS NULL THEN 'censored'
              WHEN latency < 0 THEN 'negative'
              WHEN latency > age + 5 OR {latency_is_off} THEN 'offset'
              WHEN latency <= %(deadline)s THEN 'in_deadline'
              ELSE 'late' END AS class
  FROM (SELECT {queue} AS queue, {assigned} AS assigned, {status} AS status,
               extract(epoch FROM {assigned} - {created})::float8 AS latency,
               extract(epoch FROM clock_timestamp() - {created})::float8 AS age{inner}
        FROM {table} WHERE {where}) AS raw
"""
# In a zone that is not certain a time may be several instants: the latest that is not ahead, from
# which on a task waits at least; NULL when all are ahead.
_SINCE = "CASE {cases} END"
_CASE = (
    "WHEN {created} + interval '{shift} s' <= clock_timestamp() + interval '5 s'"
    " THEN {created} + interval '{shift} s'"
)
_LEAST_INNER = ", {since} AS since"
_LEAST_OUTER = ", extract(epoch FROM clock_timestamp() - since)::float8 AS least"
_WINDOW = "{created_at} >= %(start)s AND {created_at} < %(end)s"
_OPEN_WINDOW = _WINDOW + " AND {assigned_at} IS NULL"
_OPEN_BEFORE = "{created_at} >= %(oldest)s AND {created_at} < %(start)s AND {assigned_at} IS NULL"
# Of skewed ones by how many quarters of an hour the assignment is off.
_SETTLE = """
SELECT queue, class, CASE WHEN class IN ('negative', 'offset') THEN 900 * round(latency / 900) END AS off,
       count(*) AS n
FROM ({tasks}) AS t GROUP BY 1, 2, 3
"""
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
SELECT queue, count(*) AS n,
       (array_agg(least ORDER BY least DESC) FILTER (WHERE least IS NOT NULL))[1:%(sample)s] AS ages,
       max(age) AS oldest, {ids} AS ids
FROM ({tasks}) AS t WHERE class = 'unassigned' GROUP BY queue
"""
_NO_IDS = "ARRAY[]::text[]"
_IDS = "(array_agg(left(id, 80) ORDER BY least DESC NULLS LAST))[1:3]"
_COUNT = "SELECT count(*) AS n FROM {table} WHERE {where}"
# A look at the axis of creation, in pieces between given edges, minute by minute.
_LOOK = """
SELECT width_bucket(at, %(edges)s::float8[]) AS piece, floor(at / 60)::int8 AS minute, count(*) AS n,
       max(at) AS newest
FROM (SELECT extract(epoch FROM {created_at})::float8 AS at FROM {table} WHERE {where}) AS r GROUP BY 1, 2
"""

# What happened in the hour before the end of the window, to tasks created in it, by their own
# timestamps.
_THROUGHPUT = """
SELECT queue, count(*) FILTER (WHERE was_assigned) AS assigned, count(*) FILTER (WHERE was_completed) AS completed
FROM (SELECT {queue} AS queue, {assigned} > %(hour)s AND {assigned} <= %(until)s AS was_assigned,
             {completed} AS was_completed FROM {table} WHERE {where}) AS t
WHERE was_assigned OR was_completed GROUP BY queue
"""
_COMPLETED = "{column} > %(hour)s AND {column} <= %(until)s"

# Each stage by its own two columns. What began and has not ended is unfinished and no duration; an
# end before the beginning, in the future or whole hours later is another clock (for the first stage:
# by the class of the task).
_STAGES = """
SELECT stage, count(*) FILTER (WHERE fits) AS n, coalesce(sum(seconds) FILTER (WHERE fits), 0) AS seconds,
       ARRAY[{buckets}] AS buckets, count(*) FILTER (WHERE seconds IS NULL) AS unfinished,
       count(*) FILTER (WHERE seconds IS NOT NULL AND NOT fits) AS skewed
FROM (SELECT stage, seconds, seconds >= 0 AND since_end >= -5
             AND NOT ({seconds_is_off})
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
         greatest(CASE WHEN class = 'unassigned' THEN least ELSE latency END, %(deadline)s) AS wait
  FROM ({tasks}) AS t WHERE class IN ('in_deadline', 'late', 'unassigned')
  UNION ALL
  SELECT tenant, true, least FROM ({older}) AS t WHERE class = 'unassigned'),
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
SELECT id, queue, class, latency, created, assigned, state, at, now FROM ({tasks}) AS t ORDER BY at, id
LIMIT %(limit)s
"""
_SIGHT_INNER = (
    ", {id}::text AS id, extract(epoch FROM {created_at})::float8 AS at,"
    " extract(epoch FROM coalesce({since}, {created}))::float8 AS created"
)
_SIGHT_OUTER = """, id, at, created, extract(epoch FROM clock_timestamp())::float8 AS now,
         extract(epoch FROM assigned)::float8 AS assigned,
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
    def times(self) -> list[str | None]:
        """Columns of times."""
        began = [self.created_at, self.assigned_at, self.started_at]
        return [*began, self.progress_at, self.completed_at]

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
        clocks: Mapping[str, ColumnClock] | None = None,
        shifts: Sequence[float] = (),
    ) -> None:
        self.table, self._clocks = tasks, clocks or {}
        self._names = _quote(tasks, self._clocks)
        self._shifts = tuple(sorted({0.0, *shifts}, reverse=True))
        self._names["since"] = self._since()
        self._window = fill(_WINDOW, self._names)
        still_open = fill(_OPEN_WINDOW, self._names)
        rows = self._rows(self._window)
        self.settle = fill(_SETTLE, {"tasks": rows})
        self.histogram = fill(_HISTOGRAM, {"tasks": rows, "buckets": _buckets("latency", bounds)})
        self.sample = fill(_SAMPLE, {"tasks": rows})
        self.open = fill(_OPEN, {"tasks": self._waits(still_open), "ids": _NO_IDS})
        named = self._waits(still_open, ", id", fill(", {id}::text AS id", self._names))
        self.open_named = fill(_OPEN, {"tasks": named, "ids": _IDS})
        self.count = fill(_COUNT, {**self._names, "where": self._window})
        self.look = fill(_LOOK, {**self._names, "where": self._window})
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

    @property
    def clock(self) -> ColumnClock | None:
        """The clock by which the time of creation is written; None: its type has a zone."""
        return self._clocks.get(self.table.created_at)

    def axis(self, at: datetime) -> float:
        """Where an instant lies on the axis of the creation: seconds."""
        clock = self.clock
        if clock is None or not clock.is_naive:
            return at.timestamp()
        return wall_of(at.timestamp(), clock.zone).replace(tzinfo=UTC).timestamp()

    def within(self, start: datetime, end: datetime, **more: Any) -> dict[str, Any]:
        """Parameters for tasks created in [start, end)."""
        span = {"until": end, "hour": end - _HOUR}
        if "oldest" in more:
            more["oldest"] = self._edge(self.axis(more["oldest"]))
        return {**self.between(self.axis(start), self.axis(end)), **span, **more}

    def between(self, start: float, end: float, **more: Any) -> dict[str, Any]:
        """Parameters for tasks whose creation lies in [start, end) of its axis."""
        return {**self._params, "start": self._edge(start), "end": self._edge(end), **more}

    def may_be_open(self, start: datetime, end: datetime) -> dict[str, Any]:
        """Parameters for open tasks created in [start, end), and for those that another zone lays
        ahead. Those that it lays behind are in a long lookback anyway.
        """
        return self.between(self.axis(start), self.axis(end) - self._shifts[-1])

    def elsewhere(self, start: datetime, lookback: float, now: datetime) -> list[dict[str, Any]]:
        """Parameters for open tasks that are not in [start, now): those of so many seconds before
        it, and those that another zone lays ahead.
        """
        first, last = self.axis(start), self.axis(now)
        spans = [self.between(first - lookback, first)]
        if self._shifts[-1] < 0:
            spans.append(self.between(last + AHEAD_FROM, last + MINUTE - self._shifts[-1]))
        return spans

    def _edge(self, at: float) -> datetime:
        """A point of the axis as the column's type has it."""
        edge, clock = datetime.fromtimestamp(at, UTC), self.clock
        return edge.replace(tzinfo=None) if clock and clock.is_naive else edge

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

    def _waits(self, where: str, outer: str = "", inner: str = "") -> str:
        """Rows with how long they wait at least."""
        least = fill(_LEAST_INNER, self._names)
        return self._rows(where, outer + _LEAST_OUTER, inner + least)

    def _since(self) -> str:
        """SQL of the instant from which on a task waits at least, in the zones that it may be in."""
        created = self._names["created"]
        if self._shifts == (0.0,):
            return created
        cases = [
            fill(_CASE, {"created": created, "shift": f"{shift:.0f}"}) for shift in self._shifts
        ]
        return fill(_SINCE, {"cases": " ".join(cases)})

    def _sights(self, where: str) -> str:
        return self._rows(where, _SIGHT_OUTER, fill(_SIGHT_INNER, self._names))

    def _completed(self) -> str:
        column = self.table.completed_at
        return fill(_COMPLETED, {"column": self._instant(column)}) if column else "false"

    def _instant(self, column: str) -> str:
        return as_instant(quote_name(column), self._clocks.get(column))

    def _stages(self, bounds: Sequence[float]) -> str:
        marks = sorted({column for pair in self.table.stages.values() for column in pair})
        alias = {column: f"at_{i}" for i, column in enumerate(marks)}
        inner = "".join(f", {self._instant(column)} AS {name}" for column, name in alias.items())
        outer = "".join(f", {name}" for name in alias.values())
        stages = ", ".join(
            f"('{s}', {alias[a]}, {alias[b]})" for s, (a, b) in self.table.stages.items()
        )
        tasks = self._rows(self._window, outer, inner)
        buckets = _buckets("seconds", bounds, "fits AND ")
        return fill(_STAGES, {"tasks": tasks, "stages": stages, "buckets": buckets, **_SCREEN})

    def _tenants(self) -> str:
        inner = f", {quote_name(self.table.tenant or '')}::text AS tenant"
        older = self._waits(fill(_OPEN_BEFORE, self._names), ", tenant", inner)
        tasks = self._waits(self._window, ", tenant", inner)
        return fill(_TENANTS, {"tasks": tasks, "older": older})


def _quote(tasks: TaskTable, clocks: Mapping[str, ColumnClock]) -> dict[str, str]:
    created, assigned = quote_name(tasks.created_at), quote_name(tasks.assigned_at)
    return {
        **_SCREEN,
        "table": str(Relation.of(tasks.table)),
        "id": quote_name(tasks.id),
        "created_at": created,
        "assigned_at": assigned,
        "created": as_instant(created, clocks.get(tasks.created_at)),
        "assigned": as_instant(assigned, clocks.get(tasks.assigned_at)),
        "status": f"lower({quote_name(tasks.status)}::text)" if tasks.status else "'open'::text",
        "queue": f"{quote_name(tasks.queue)}::text" if tasks.queue else "''::text",
    }


def _buckets(value: str, bounds: Sequence[float], also: str = "") -> str:
    return ", ".join(f"count(*) FILTER (WHERE {also}{value} <= {bound!r})" for bound in bounds)
