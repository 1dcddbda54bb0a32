"""The statements of the cross-check, bound to ranges of the creation time, which needs an index.

Identifiers are quoted into the text, values are parameters. Instants come back as Unix seconds of
the database; a column without a zone is read and compared by its clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sentinel.adapters.columns import as_instant, as_wall
from sentinel.adapters.relation import Relation, fill, quote_name
from sentinel.core.moment.skew import LEAST_OFFSET, QUARTER, TOLERANCE, ColumnClock

MOST_FRESH = 1000
"""New rows that are counted in a look, of a table whose times are skewed."""
NOW = "SELECT extract(epoch FROM clock_timestamp())::float8 AS now"
_RANGE = "{created_at} >= {created_from} AND {created_at} < {created_to}"
# A hash chooses: a sample that favours no agent and no time. The count is of all that were
# assigned.
_ASSIGNED = (
    """
SELECT {id}::text AS task, {agent}::text AS agent, {assigned} AS assigned, {created} AS created,
       count(*) OVER () AS n
FROM {table} WHERE """
    + _RANGE
    + """ AND {assigned_at} >= {start} AND {assigned_at} < {end}
ORDER BY md5({id}::text) LIMIT %(count)s
"""
)
_NOW_OF = (
    """
SELECT {id}::text AS task, {agent}::text AS agent, lower({status}::text) AS status, {assigned} AS assigned,
       {created} AS created
FROM {table} WHERE """
    + _RANGE
    + " AND {id}::text = ANY (%(ids)s)"
)
# What the times of recent rows are like, beside the database's own clock: the newest one, and how
# many are newer than the newest that was known, else ahead of the clock. The maximum is that of the
# raw column, for which an index serves.
_CLOCK = """
SELECT extract(epoch FROM clock_timestamp())::float8 AS now,
       (SELECT extract(epoch FROM {newest})::float8 FROM (
          SELECT max({created_at}) AS m FROM {table} WHERE {created_at} >= {since}) AS x) AS newest,
       (SELECT count(*) FROM (
          SELECT FROM {table} WHERE {created_at} > {known} LIMIT {most}) AS y) AS fresh
"""
# why statement_timestamp(): clock_timestamp() is volatile, and no index serves what is volatile
_SINCE = "statement_timestamp() - make_interval(secs => %(back)s)"
_AHEAD = f"statement_timestamp() + make_interval(secs => {TOLERANCE})"
_KNOWN = f"coalesce(%(known)s::timestamptz, {_AHEAD})"
# The screen of core/moment for many rows at once: of tasks that were created in a range, whose
# assignment lies ahead of the clock, before the creation, or off by quarters of an hour. OFFSET 0:
# each span is computed once.
_SCREEN = """
SELECT count(*) AS n, count(*) FILTER (WHERE is_odd) AS skewed,
       (array_agg(span ORDER BY span) FILTER (WHERE is_odd))[1] AS off
FROM (SELECT span, after > {tolerance} OR span < -{tolerance} OR span >= {least} - {tolerance}
             AND abs(span - {quarter} * round(span / {quarter})) <= {tolerance} AS is_odd
      FROM (SELECT {assigned} - {created} AS span,
                   {assigned} - %(now)s AS after
            FROM {table} WHERE {range} AND {assigned_at} IS NOT NULL OFFSET 0) AS raw) AS spans
"""


@dataclass(frozen=True, slots=True)
class AssignedTasks:
    """The task table: names of its columns as configured, how long before its assignment a task may
    be made, the zone of its times as declared, and what is known of their clocks.
    """

    table: str
    id: str
    agent: str
    status: str
    created_at: str
    assigned_at: str
    lookback: float
    zone: str | None = None
    clocks: Mapping[str, ColumnClock] = field(default_factory=dict)

    @property
    def assigned(self) -> str:
        """A sample of the tasks that were assigned in a range."""
        return fill(_ASSIGNED, self._names())

    @property
    def now_of(self) -> str:
        """The present state of given tasks."""
        return fill(_NOW_OF, self._names())

    @property
    def clock(self) -> str:
        """The database's clock and the newest creation of the last `back` seconds; how many tasks
        are newer than `known`, an instant or None.
        """
        return fill(_CLOCK, self._names())

    @property
    def screen(self) -> str:
        """How many tasks of a range have times that can't be."""
        names = self._names()
        return fill(_SCREEN, {**names, "range": fill(_RANGE, names)})

    def _names(self) -> dict[str, str]:
        columns = ("id", "agent", "status", "created_at", "assigned_at")
        created, assigned = self.clocks.get(self.created_at), self.clocks.get(self.assigned_at)
        quoted = {name: quote_name(getattr(self, name)) for name in columns}
        bounds = {name: as_wall(f"%({name})s", created) for name in ("created_from", "created_to")}
        return {
            "table": str(Relation.of(self.table)),
            **quoted,
            **bounds,
            "since": as_wall(_SINCE, created),
            "known": as_wall(_KNOWN, created),
            "start": as_wall("%(start)s", assigned),
            "end": as_wall("%(end)s", assigned),
            "created": _seconds(as_instant(quoted["created_at"], created)),
            "assigned": _seconds(as_instant(quoted["assigned_at"], assigned)),
            "newest": as_instant("m", created),
            "most": str(MOST_FRESH),
            "tolerance": str(TOLERANCE),
            "quarter": str(QUARTER),
            "least": str(2 * LEAST_OFFSET),
        }

    def created_within(self, start: float, end: float, now: float) -> dict[str, Any]:
        """Parameters of `screen` for creations in [start, end), Unix seconds."""
        return {"created_from": _instant(start), "created_to": _instant(end), "now": now}

    def within(self, start: float, end: float, count: int) -> dict[str, Any]:
        """Parameters of `assigned` for assignments in [start, end), Unix seconds."""
        return {
            **self._created(start, end),
            "start": _instant(start),
            "end": _instant(end),
            "count": count,
        }

    def about(self, start: float, end: float, ids: Sequence[str]) -> dict[str, Any]:
        """Parameters of `now_of` for tasks whose entries were published in [start, end], Unix
        seconds.
        """
        return {**self._created(start, end), "ids": list(ids)}

    def _created(self, start: float, end: float) -> dict[str, Any]:
        return {"created_from": _instant(start - self.lookback), "created_to": _instant(end + 60.0)}


def _seconds(instant: str) -> str:
    return f"extract(epoch FROM {instant})::float8"


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(max(0.0, seconds), UTC)
