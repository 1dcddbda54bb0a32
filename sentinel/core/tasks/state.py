"""What `task_assignment` remembers: watermarks, totals, followed tasks. They move together, with no
await between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sentinel.core.moment.skew import Basis, ColumnClock
from sentinel.core.moment.zone import offset_at
from sentinel.core.tasks.assignment import (
    ASIDE,
    OUTCOMES,
    STAGE_BOUNDS,
    Buckets,
    CohortWindow,
    Horizon,
    Inserted,
    OddTimes,
    QueueTotals,
    RecentTasks,
    StageTotals,
)
from sentinel.core.tasks.fairness import Spread
from sentinel.core.tasks.ledger import BACK, AxisLedger, Classes, Counted, Sighting
from sentinel.core.tasks.tracker import TaskTally, Tracker, WaitBounds

MAX_QUEUES = 50
OTHER = "_other_"
Rows = Sequence[Mapping[str, Any]]
Part = tuple[float, float, Rows]
"""A part of the axis of creation, from, to, and what a statement tells of it."""
CREATED, ASSIGNED = "created_at", "assigned_at"
LATENESS_FOR = 3600.0
"""Seconds for which the settling waits for rows as late as some were."""


@dataclass(frozen=True, slots=True)
class TaskReach:
    """How many seconds back is looked for open tasks, for the throughput, for tenants' waits, and
    for rows that became visible late.

    `shortened` are those that would cost too much over the whole time asked for, `advice` is the
    index that cures it.
    """

    open: float = 0.0
    throughput: float = 0.0
    tenants: float = 0.0
    look: float = BACK
    shortened: tuple[str, ...] = ()
    advice: str = ""

    def describe(self) -> dict[str, Any]:
        """For the evidence: nothing, when all that was asked for is seen."""
        if not self.shortened:
            return {}
        found: dict[str, Any] = {
            "reach_seconds": {name: getattr(self, name) for name in self.shortened}
        }
        return {**found, "index_advice": self.advice} if self.advice else found


class AssignmentState:
    """Watermarks and totals. Both move together, in memory and in the document: each task is
    counted once.
    """

    def __init__(self, document: dict[str, Any] | None = None) -> None:
        known = document or {}
        self.settled_to = _instant(known.get("settled_to"))
        self.observed_to = _instant(known.get("observed_to"))
        self.staged_to = _instant(known.get("staged_to"))
        self.bounds: list[float] = known.get("bounds", [])
        self.queues = {
            name: QueueTotals(**totals) for name, totals in known.get("queues", {}).items()
        }
        self.aside: dict[str, int] = {**dict.fromkeys(ASIDE, 0), **known.get("aside", {})}
        self.late_arrivals: int = known.get("late_arrivals", 0)
        self.ledger = AxisLedger.load(known.get("ledger"))
        # What an older version meant to count again: late is what came since.
        for start, end, n in known.get("recounts", ()):
            first, last = (datetime.fromisoformat(text).timestamp() for text in (start, end))
            self.ledger.settle(first, last, None, n)
        self.late_by: tuple[float, float] = tuple(known.get("late_by", (0.0, 0.0)))
        self.ahead: tuple[int, float] = tuple(known.get("ahead", (0, 0.0)))
        self.recent = RecentTasks(known.get("recent", ()))
        self.recent_by_queue = {
            name: RecentTasks(entries) for name, entries in known.get("recent_by_queue", {}).items()
        }
        self.stages = {
            name: StageTotals(**totals) for name, totals in known.get("stages", {}).items()
        }
        self.tracker = Tracker(known["tracker"]) if known.get("tracker") else None
        self.returns = {
            end: Buckets(**known.get("returns", {}).get(end, {})) for end in ("least", "most")
        }
        self.in_time = {
            name: list(known.get("in_time", {}).get(name, (0, 0)))
            for name in ("missing", "reassigned")
        }
        self.odd = OddTimes()
        self.clocks: dict[str, ColumnClock] = {}
        self.created_clock: ColumnClock | None = None
        self.assigned_clock: ColumnClock | None = None
        self.looked_at: float | None = None
        self.proved: tuple[Any, float] | None = None
        self.open_since: datetime | None = None
        self.swept_at = 0.0
        self.trends_at: float | None = None
        self.throughput: dict[str, tuple[int, int]] | None = None
        self.spread = Spread()
        self.reach = TaskReach()
        self.inserted = Inserted()
        self.id_type = ""

    def dump(self) -> Any:
        """JSON-able document."""
        return {
            "settled_to": _text(self.settled_to),
            "observed_to": _text(self.observed_to),
            "staged_to": _text(self.staged_to),
            "bounds": list(self.bounds),
            "queues": {name: totals.dump() for name, totals in self.queues.items()},
            "aside": dict(self.aside),
            "late_arrivals": self.late_arrivals,
            "ledger": self.ledger.dump(),
            "late_by": list(self.late_by),
            "ahead": list(self.ahead),
            "recent": self.recent.dump(),
            "recent_by_queue": {name: each.dump() for name, each in self.recent_by_queue.items()},
            "stages": {name: totals.dump() for name, totals in self.stages.items()},
            "tracker": self.tracker.dump() if self.tracker else None,
            "returns": {end: buckets.dump() for end, buckets in self.returns.items()},
            "in_time": {name: list(ends) for name, ends in self.in_time.items()},
        }

    async def close(self) -> None:
        """Holds nothing."""

    def fit(self, bounds: Sequence[float]) -> None:
        """Histograms begin again when the configured bounds are others than those they were counted
        by.
        """
        if self.bounds != list(bounds):
            self.bounds = list(bounds)
            for totals in (*self.queues.values(), *self.returns.values()):
                totals.reset()

    def label(self, name: str | None) -> str:
        """The metric label of a queue; the fifty-first and later ones share one."""
        label = name or ("default" if name == "" else "none")
        if label not in self.queues and len(self.queues) >= MAX_QUEUES:
            label = OTHER
        self.queues.setdefault(label, QueueTotals())
        return label

    def queue(self, name: str | None) -> QueueTotals:
        """The totals of a queue."""
        return self.queues[self.label(name)]

    def know_clocks(self, clocks: dict[str, ColumnClock], created: str, assigned: str) -> None:
        """By which clocks the columns are written, those of creation and assignment by name.

        What was off by another reading is no evidence of this one: with a corrected `zone:` it
        would tell people to correct it.
        """
        if self.clocks and _zones_of(clocks) != _zones_of(self.clocks):
            self.odd, self.recent, self.recent_by_queue = OddTimes(), RecentTasks(), {}
        self.clocks = clocks
        self.created_clock, self.assigned_clock = clocks.get(created), clocks.get(assigned)

    def settle(
        self, parts: Sequence[Part], window: CohortWindow, horizon: Horizon, final: float
    ) -> None:
        """Method A: the classes of one window by its parts, and the watermark after it. `final`:
        what ends before it on the axis is final.
        """
        for start, end, rows in parts:
            classes = read_classes(rows)
            self._take_classes(classes, horizon)
            self._note_odd(rows, horizon)
            more = classes if end > final else None
            self.ledger.settle(start, end, more, sum(classes.values()))
        self.settled_to = window.end

    def recount(self, stretch: Counted, rows: Rows, horizon: Horizon, age: float) -> None:
        """Method A: a stretch of `age` seconds in which rows became visible since; so late may
        others be, too.
        """
        self._take_classes(self.ledger.recount(stretch, read_classes(rows)), horizon)
        now = horizon.now.timestamp()
        if age >= self.lateness(now):
            self.late_by = (age, now)

    def lateness(self, now: float) -> float:
        """Seconds by which rows of the last hour became visible late, at most; Unix seconds."""
        late, at = self.late_by
        return late if now - at < LATENESS_FOR else 0.0

    def note_sighting(self, sighting: Sighting, horizon: Horizon, now: float | None) -> None:
        """What a look at the axis found in final stretches; `now` on the axis when it saw all of
        it.
        """
        at, skewed = horizon.now.timestamp(), 0
        for each in sighting.newcomers:
            if each.kind == "late":
                self.late_arrivals += each.n
                continue
            skewed += each.n
            self.odd.note(at, CREATED, each.off, each.n)
        if skewed:
            self._take_classes({(None, "offset"): skewed}, horizon)
        if now is not None:
            self.ahead = (sighting.ahead, sighting.newest - now if sighting.ahead else 0.0)

    def is_odd(self, now: float) -> bool:
        """Whether times of other zones were seen lately, or are to be expected; Unix seconds."""
        clock = self.created_clock
        is_open = clock is not None and clock.basis is Basis.DISAGREED
        return is_open or self.ahead[0] > 0 or self.odd.most(now) is not None

    def shifts(self, now: float) -> list[float]:
        """By how many seconds a time of creation may have to be moved: other zones that the catalog
        tells, offsets that were seen. Unix seconds.
        """
        clock = self.created_clock
        found = {-off for off in self.odd.offsets(now, CREATED)}
        if clock and clock.is_naive and clock.basis is not Basis.DECLARED:
            found |= {offset_at(clock.zone, now) - offset_at(zone, now) for zone in clock.others}
        return sorted(found)

    def take(
        self, tally: TaskTally, horizon: Horizon, deadline: float, settle_after: float
    ) -> None:
        """Method B: what one poll of the tracker adds."""
        classes = self._count((queue, kind, n) for (queue, kind), n in tally.settled.items())
        self._note_recent(horizon, classes)
        for queue, seconds in tally.latencies:
            self.queue(queue).add(seconds, self.bounds, settle_after)
        for bounds in tally.missing:
            self._note_bounds("missing", bounds, deadline)
        for queue, bounds in tally.reassigned:
            self.queue(queue).reassigned += 1
            self._note_bounds("reassigned", bounds, deadline)
            for end, seconds in zip(("least", "most"), bounds, strict=True):
                self.returns[end].add(seconds, self.bounds, settle_after)

    def stage(self, rows: Rows, window: CohortWindow) -> None:
        """The durations of one window, by stage, and the watermark after it."""
        for row in rows:
            totals = self.stages.setdefault(row["stage"], StageTotals())
            totals.observe(row["buckets"], row["n"], float(row["seconds"]))
            totals.unfinished += row["unfinished"]
            totals.skewed += row["skewed"]
        self.staged_to = window.end

    def note_throughput(self, rows: Rows) -> None:
        """Assigned and completed in the last hour, by queue."""
        found: dict[str, tuple[int, int]] = {}
        for row in rows:
            label = self.label(row["queue"])
            assigned, completed = found.get(label, (0, 0))
            found[label] = (assigned + row["assigned"], completed + row["completed"])
        self.throughput = found

    @property
    def counted(self) -> int:
        """Tasks that were put into any class."""
        return (
            sum(sum(totals.settled.values()) for totals in self.queues.values())
            + sum(self.aside.values())
            + self.late_arrivals
        )

    def summary(self) -> dict[str, Any]:
        """Counts of all queues, and of what was left out of them."""
        total = {o: sum(totals.settled[o] for totals in self.queues.values()) for o in OUTCOMES}
        return {
            "total": sum(total.values()),
            "within_deadline": total["in_deadline"],
            "late": total["late"],
            "unassigned": total["unassigned"],
            **self.aside,
            "late_arrivals": self.late_arrivals,
        }

    def _count(self, counts: Iterable[tuple[str | None, str, int]]) -> dict[str, Counter[str]]:
        """Take in (queue, class, tasks); the same by label. What is aside belongs to no queue."""
        classes: dict[str, Counter[str]] = {}
        for queue, kind, n in counts:
            label = self.label(queue) if kind in OUTCOMES else ""
            classes.setdefault(label, Counter())[kind] += n
            if kind in OUTCOMES:
                self.queues[label].settled[kind] += n
            else:
                self.aside[kind] += n
        return classes

    def _take_classes(self, classes: Classes, horizon: Horizon) -> None:
        counts = self._count((queue, kind, n) for (queue, kind), n in classes.items())
        self._note_recent(horizon, counts)

    def _note_odd(self, rows: Rows, horizon: Horizon) -> None:
        for row in rows:
            if row.get("off") is not None:
                self.odd.note(horizon.now.timestamp(), ASSIGNED, float(row["off"]), row["n"])

    def _note_recent(self, horizon: Horizon, classes: Mapping[str, Counter[str]]) -> None:
        """For the last minute, of all and of each queue."""
        now, total = horizon.now.timestamp(), Counter[str]()
        for label, mine in classes.items():
            total += mine
            if label:
                self.recent_by_queue.setdefault(label, RecentTasks()).add(now, mine)
        self.recent.add(now, total)

    def _note_bounds(self, what: str, bounds: WaitBounds, deadline: float) -> None:
        """How many were in time: at least those whose upper bound was, at most those whose lower
        bound was.
        """
        least, most = bounds
        self.in_time[what][0] += most <= deadline
        self.in_time[what][1] += least <= deadline


def _zones_of(clocks: Mapping[str, ColumnClock]) -> dict[str, tuple[str, ...]]:
    return {column: clock.zones for column, clock in clocks.items()}


def read_classes(rows: Rows) -> Classes:
    """Queue and class → tasks, of the statement `settle`."""
    classes: Classes = {}
    for row in rows:
        key = row["queue"], row["class"]
        classes[key] = classes.get(key, 0) + row["n"]
    return classes


def stage_totals(state: AssignmentState, stages: Sequence[str]) -> dict[str, StageTotals]:
    """The totals of the stages that are measured, from zero on."""
    return {
        stage: state.stages.get(stage, StageTotals([0] * len(STAGE_BOUNDS))) for stage in stages
    }


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _text(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
