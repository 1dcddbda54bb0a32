"""What is normal in one table of flows, and the longest normal stay of one type and status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sentinel.core.flows.clock import TimeColumns
from sentinel.core.flows.dwell import NOTHING, Lesson, Stays
from sentinel.core.flows.second import SecondRules
from sentinel.core.flows.stuck import FlowRules


@dataclass(frozen=True, slots=True)
class TableRules:
    """What is normal in one table. `limits`: by status, as configured; `static`: while none is
    learned.

    `known`: every status that the configuration names, None when it does not claim to name all.
    `label`: name of the table for people; "" where there is only one. `alarms_per_week`: false
    alarms of each type and status that are borne. `show`: the statement that shows a flow, up to
    its id; "" where there is none. `clocks`: by which its times are written.
    """

    table: str
    rules: FlowRules
    limits: Mapping[str, float]
    static: float
    learn: bool = True
    known: frozenset[str] | None = None
    label: str = ""
    alarms_per_week: float = 1.0
    second: SecondRules | None = None
    has_tenant: bool = False
    show: str = ""
    clocks: TimeColumns = field(default_factory=TimeColumns)

    def judges(self, status: str) -> bool:
        """Whether a flow can be too long in a status: it neither waits for people nor is over, and
        the configuration knows it.
        """
        known = self.known is None or status in self.known
        return known and status not in self.rules.waiting and status not in self.rules.terminal

    @property
    def by_second(self) -> TableRules | None:
        """The same flows by their second status: only their stays are judged."""
        if self.second is None:
            return None
        own = self.second
        rules = FlowRules("", waiting=own.waiting)
        name = f"{self.table} by {own.column}"
        return TableRules(
            name,
            rules,
            own.limits,
            own.static,
            self.learn,
            alarms_per_week=self.alarms_per_week,
            clocks=self.clocks,
        )


@dataclass(frozen=True, slots=True)
class StayLimit:
    """The longest normal stay in seconds, and where it comes from. `lesson`: what is learned, None
    where nothing is to be.
    """

    seconds: float
    source: str
    lesson: Lesson | None = None

    @property
    def basis(self) -> str:
        """In words, behind the limit itself; "" where it is simply configured."""
        known = self.lesson
        if known is None:
            return ""
        if known.seconds is not None:
            return f" (learned of {known.n} stays: 1 in {1 / known.risk:.0f} is longer)"
        return f" (configured; not learned: {known.n} of {known.needed} stays are known)"


def find_limit(table: TableRules, status: str, stays: Stays | None, now: float) -> StayLimit:
    """The configured limit of the status, else the learned one, else the static one."""
    if status in table.limits:
        return StayLimit(table.limits[status], "configured")
    if not table.learn:
        return StayLimit(table.static, "overdue_after")
    lesson = NOTHING if stays is None else stays.learn(stays.risk(table.alarms_per_week, now))
    if lesson.seconds is None:
        return StayLimit(table.static, "overdue_after", lesson)
    return StayLimit(lesson.seconds, "learned", lesson)
