"""What `task_assignment` remembers: watermarks, totals, followed tasks. They move together, with no
await between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sentinel.core.tasks.assignment import (
    ASIDE,
    OUTCOMES,
    STAGE_BOUNDS,
    Buckets,
    CohortWindow,
    Horizon,
    Inserted,
    QueueTotals,
    RecentTasks,
    StageTotals,
)
from sentinel.core.tasks.fairness import Spread
from sentinel.core.tasks.tracker import TaskTally, Tracker, WaitBounds

MAX_QUEUES = 50
OTHER = "_other_"
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class TaskReach:
    """How many seconds back is looked for open tasks, for the throughput, and for tenants' waits.

    `shortened` are those that would cost too much over the whole time asked for, `advice` is the
    index that cures it.
    """

    open: float = 0.0
    throughput: float = 0.0
    tenants: float = 0.0
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
        self.recounts: list[tuple[datetime, datetime, int]] = [
            (datetime.fromisoformat(a), datetime.fromisoformat(b), n)
            for a, b, n in known.get("recounts", ())
        ]
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
            "recounts": [(a.isoformat(), b.isoformat(), n) for a, b, n in self.recounts],
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

    def settle(self, rows: Rows, window: CohortWindow, horizon: Horizon) -> None:
        """Method A: the classes of one window, and the watermark after it."""
        classes = self._count((row["queue"], row["class"], row["n"]) for row in rows)
        settled = self._note_recent(horizon, classes)
        self.settled_to = window.end
        if window.provisional:
            self.recounts.append((window.start, window.end, settled))

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
        return sum(sum(totals.settled.values()) for totals in self.queues.values()) + sum(
            self.aside.values()
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

    def _note_recent(self, horizon: Horizon, classes: Mapping[str, Counter[str]]) -> int:
        """For the last minute, of all and of each queue; how many tasks these are."""
        now, total = horizon.now.timestamp(), Counter[str]()
        for label, mine in classes.items():
            total += mine
            if label:
                self.recent_by_queue.setdefault(label, RecentTasks()).add(now, mine)
        self.recent.add(now, total)
        return total.total()

    def _note_bounds(self, what: str, bounds: WaitBounds, deadline: float) -> None:
        """How many were in time: at least those whose upper bound was, at most those whose lower
        bound was.
        """
        least, most = bounds
        self.in_time[what][0] += most <= deadline
        self.in_time[what][1] += least <= deadline


def stage_totals(state: AssignmentState, stages: Sequence[str]) -> dict[str, StageTotals]:
    """The totals of the stages that are measured, from zero on."""
    return {
        stage: state.stages.get(stage, StageTotals([0] * len(STAGE_BOUNDS))) for stage in stages
    }


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _text(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
