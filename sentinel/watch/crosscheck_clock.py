"""Can the times of the task table be compared with the bus's? What is remembered of them over many
looks, and what one look may rest on (measurement.md §11.11).

Rows whose times are those of another zone have no entry where they say, and would be missing; rows
that are not found at all would be nothing to compare. So the newest time is followed, and each
range of the creation time is screened once. Unix seconds of the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.tasks.assigned import AssignedTasks
from sentinel.core.moment.arrival import NewestTime
from sentinel.core.moment.skew import (
    TOLERANCE,
    Basis,
    ColumnClock,
    Skew,
    find_offset,
    screen_span,
    tell_cure,
    tell_skew,
)
from sentinel.core.moment.zone import read_wall, wall_of

FARTHEST = 97_200.0
"""Seconds back in which the newest task is looked for: beyond the farthest zone."""


@dataclass(frozen=True, slots=True)
class TaskTimes:
    """What one look knows of the table's times. `now`: the database's clock; `skewed`: tasks that
    were counted as skewed in it; `why`: what is wrong, in words, with the `cure`; `is_blind`: then
    nothing can be compared; `doubted_to`: up to this time a task may be one that was ahead before.
    """

    now: float
    skewed: int = 0
    why: str = ""
    cure: str = ""
    is_blind: bool = False
    doubted_to: float = 0.0


@dataclass(slots=True)
class CrosscheckClock:
    """The newest creation, up to where creations were screened, the latest time that lay ahead of
    the clock, when a task with a time that can be was last seen; what was last told of the others:
    when, in words, the cure; `read_as`: in which zones.
    """

    newest: NewestTime = field(default_factory=NewestTime)
    screened: float | None = None
    ahead_to: float = 0.0
    fine_at: float | None = None
    told: tuple[float, str, str] = (0.0, "", "")
    read_as: str = ""

    async def look(
        self,
        tasks: AssignedTasks,
        database: PostgresClient,
        back: float,
        settled: float,
        span: float,
    ) -> TaskTimes:
        """One look: the newest task `back` seconds back; tasks of the last `span` seconds that are
        `settled` seconds old are screened.
        """
        self._fit(tasks)
        params: dict[str, Any] = {"back": back, "known": self._known(back)}
        row = (await database.query(tasks.clock, params))[0]
        now, end = row["now"], row["now"] - settled
        start = max(self.screened or 0.0, end - span)
        range_ = tasks.created_within(start, end, now)
        seen = (await database.query(tasks.screen, range_))[0] if start < end else NOTHING
        off = self.newest.see(row["newest"], now)
        self.screened = max(start, end)
        if seen["n"] > seen["skewed"]:
            self.fine_at = now
        if off is not None and off > 0 and row["newest"] is not None:
            self.ahead_to = max(self.ahead_to, row["newest"])
        fresh = row["fresh"] if off is not None else 0
        return self._judge(tasks, now, off, span, (fresh + seen["skewed"], seen["off"]))

    def _fit(self, tasks: AssignedTasks) -> None:
        """Read in another zone than before, all times differ: then everything begins anew."""
        zones = [clock.zone if clock.is_naive else "" for clock in tasks.clocks.values()]
        read_as = " ".join(["as", *zones])
        if self.read_as not in ("", read_as):
            self.newest, self.screened, self.ahead_to = NewestTime(), None, 0.0
            self.fine_at, self.told = None, (0.0, "", "")
        self.read_as = read_as

    def _known(self, back: float) -> datetime | None:
        """What a task must be newer than to be a new one; None at the first look."""
        newest, looked = self.newest.newest, self.newest.looked
        if looked is None:
            return None
        return datetime.fromtimestamp(looked - back if newest is None else newest, UTC)

    def _judge(
        self,
        tasks: AssignedTasks,
        now: float,
        off: float | None,
        span: float,
        odd: tuple[int, float | None],
    ) -> TaskTimes:
        created, assigned = (
            tasks.clocks.get(name, ColumnClock(f"{tasks.table}.{name}", Basis.TYPED))
            for name in (tasks.created_at, tasks.assigned_at)
        )
        for clock in (created, assigned):
            if clock.basis is Basis.DISAGREED:
                return TaskTimes(now, odd[0], clock.describe(), tell_cure(clock), is_blind=True)
        if off is not None:
            self.told = now, tell_skew(created, off, now), tell_cure(created)
        elif odd[1] is not None:
            span_off = find_offset(float(odd[1])) or float(odd[1])
            self.told = now, tell_skew(assigned, span_off, now), tell_cure(assigned)
        told_at, why, cure = self.told
        if told_at < now - span:
            return TaskTimes(now, doubted_to=self.ahead_to)
        is_wrong = off is not None or odd[1] is not None
        is_lonely = self.fine_at is None or self.fine_at < now - span
        return TaskTimes(now, odd[0], why, cure, is_wrong and is_lonely, self.ahead_to)

    def dump(self) -> dict[str, Any]:
        """JSON-able document."""
        newest = self.newest
        return {
            "newest": [newest.newest, newest.looked, newest.off],
            "screened": self.screened,
            "ahead_to": self.ahead_to,
            "fine_at": self.fine_at,
            "told": self.told,
            "read_as": self.read_as,
        }

    @classmethod
    def load(cls, document: Mapping[str, Any] | None) -> CrosscheckClock:
        """What `dump` gave; of an older version nothing is known."""
        if document is None:
            return cls()
        at, why, cure = document["told"]
        return cls(
            NewestTime(*document["newest"]),
            document["screened"],
            document["ahead_to"],
            document["fine_at"],
            (at, why, cure),
            document["read_as"],
        )


NOTHING: Mapping[str, Any] = {"n": 0, "skewed": 0, "off": None}


def is_odd(created: float, assigned: float, now: float) -> bool:
    """Whether a task's times can't be, as the statement `screen` has it."""
    is_early = created - TOLERANCE <= assigned < created
    return screen_span(created, created if is_early else assigned, now) is not Skew.FINE


def is_twofold(at: float, clock: ColumnClock | None) -> bool:
    """Whether the column's clock shows this time twice: then nobody knows which of both it is."""
    if clock is None or not clock.is_naive:
        return False
    return len(read_wall(wall_of(at, clock.zone), clock.zone)) > 1
