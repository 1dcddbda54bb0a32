"""The two statements of the cross-check, bound to ranges of the creation time, which needs an
index.

Identifiers are quoted into the text, values are parameters. Instants come back as Unix seconds of
the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sentinel.adapters.relation import Relation, fill, quote_name

NOW = "SELECT extract(epoch FROM clock_timestamp())::float8 AS now"
_RANGE = "{created_at} >= %(created_from)s AND {created_at} < %(created_to)s"
# A hash chooses: a sample that favours no agent and no time. The count is of all that were
# assigned.
_ASSIGNED = (
    """
SELECT {id}::text AS task, {agent}::text AS agent, extract(epoch FROM {assigned_at})::float8 AS assigned,
       count(*) OVER () AS n
FROM {table} WHERE """
    + _RANGE
    + """ AND {assigned_at} >= %(start)s AND {assigned_at} < %(end)s
ORDER BY md5({id}::text) LIMIT %(count)s
"""
)
_NOW_OF = (
    """
SELECT {id}::text AS task, {agent}::text AS agent, lower({status}::text) AS status,
       extract(epoch FROM {assigned_at})::float8 AS assigned
FROM {table} WHERE """
    + _RANGE
    + " AND {id}::text = ANY (%(ids)s)"
)


@dataclass(frozen=True, slots=True)
class AssignedTasks:
    """The task table: names of its columns as configured, and how long before its assignment a task
    may be made.
    """

    table: str
    id: str
    agent: str
    status: str
    created_at: str
    assigned_at: str
    lookback: float

    @property
    def assigned(self) -> str:
        """A sample of the tasks that were assigned in a range."""
        return fill(_ASSIGNED, self._names())

    @property
    def now_of(self) -> str:
        """The present state of given tasks."""
        return fill(_NOW_OF, self._names())

    def _names(self) -> dict[str, str]:
        columns = ("id", "agent", "status", "created_at", "assigned_at")
        return {
            "table": str(Relation.of(self.table)),
            **{name: quote_name(getattr(self, name)) for name in columns},
        }

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


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(max(0.0, seconds), UTC)
