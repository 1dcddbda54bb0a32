"""What `task_assignment` shows: the rows of its measurements and the figures of its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.model import Histogram, Measurement, Row
from sentinel.core.tasks.assignment import OUTCOMES, STAGE_BOUNDS, Horizon, QueueTotals
from sentinel.core.tasks.state import AssignmentState, stage_totals


def _counter(name: str, help_: str, labels: tuple[str, ...] = (), metric: str = "") -> Measurement:
    return Measurement(name, help_, metric or f"sentinel_task_{name}_total", "counter", "", labels)


def _gauge(name: str, help_: str, unit: str = "", labels: tuple[str, ...] = ()) -> Measurement:
    return Measurement(name, help_, f"sentinel_task_{name}", "gauge", unit, labels)


def _histogram(name: str, help_: str, *labels: str) -> Measurement:
    return Measurement(name, help_, f"sentinel_task_{name}", "histogram", "seconds", labels)


MEASUREMENTS = (
    _counter(
        "settled",
        "Tasks by what had become of them at the deadline",
        ("queue", "outcome"),
        "sentinel_task_assignment_settled_total",
    ),
    _histogram(
        "assignment_seconds",
        "Time from creation to assignment; tasks that nobody took are in +Inf",
        "queue",
    ),
    _gauge("unassigned", "Open tasks without an agent", "", ("queue",)),
    _gauge(
        "oldest_unassigned_age_seconds",
        "Age of the oldest open task without an agent",
        "seconds",
        ("queue",),
    ),
    Measurement(
        "assignment_p99_seconds", "Time in which 99 of 100 tasks were assigned", unit="seconds"
    ),
    _gauge(
        "throughput_per_hour",
        "Tasks assigned and completed in the last hour",
        "",
        ("queue", "event"),
    ),
    _counter(
        "reassigned", "Tasks assigned again after they were given back; method tracker", ("queue",)
    ),
    _histogram(
        "reassignment_seconds",
        "Time from give-back to new assignment, as short and as long as it may have been; method"
        " tracker",
        "bound",
    ),
    _histogram("stage_seconds", "Duration of a stage of a task; ended ones only", "stage"),
    _counter(
        "stage_unfinished",
        "Stages that had begun and not ended at the age stages_after",
        ("stage",),
    ),
    _counter(
        "stage_skewed",
        "Stages that ended before they began or in the future: another clock",
        ("stage",),
    ),
    _gauge("tenants_compared", "Tenants with enough tasks to be compared"),
    _gauge(
        "tenant_wait_ratio",
        "Largest p90 wait of a tenant ÷ smallest; waits below the deadline count as it",
        "ratio",
    ),
    _gauge(
        "tenant_wait_jain_index",
        "Jain's fairness index of the tenants' mean waits: 1 is equal",
        "ratio",
    ),
    _counter(
        "negative_latency", "Tasks assigned before they were created: another clock or time zone"
    ),
    _counter(
        "offset_latency",
        "Tasks assigned in the future or whole half hours later: another time zone",
    ),
    _counter("missing_timestamp", "Tasks that are assigned by status but have no assignment time"),
    _counter("late_arrivals", "Tasks that became visible after their window was settled"),
    _counter(
        "censored",
        "Tasks without a latency: closed or deleted unassigned, or too many to follow",
        ("reason",),
    ),
    _gauge("watermark_lag_seconds", "Age of the newest task that is settled", "seconds"),
    _gauge(
        "horizon_hold_seconds",
        "Age of the oldest transaction, which holds the measurement back",
        "seconds",
        ("role",),
    ),
)


@dataclass(frozen=True, slots=True)
class OpenTasks:
    """Tasks of one queue that nobody has: how many, the ages of the oldest ones, and for how long
    others wait that were given back. Seconds. `queue` is the metric label, `name` what the table
    says, where that is another; `ids`: a few of those that wait longest.
    """

    queue: str
    n: int = 0
    ages: Sequence[float] = field(default=())
    returned: Sequence[float] = field(default=())
    ids: Sequence[str] = ()
    name: str = ""

    @property
    def called(self) -> str:
        """The queue's own name, also where many queues share a label."""
        return self.name or self.queue

    @property
    def oldest(self) -> float:
        """Age of the oldest one."""
        return max((*self.ages, *self.returned), default=0.0)


@dataclass(frozen=True, slots=True)
class Shown:
    """What is measured here: names of the stages, whether completions and tenants are, whether
    tasks are followed.
    """

    stages: Sequence[str] = ()
    completions: bool = False
    tenants: bool = False
    followed: bool = False


def make_rows(
    state: AssignmentState,
    still_open: Sequence[OpenTasks],
    horizon: Horizon,
    holder: str,
    shown: Shown,
) -> list[Row]:
    """All rows of one run."""
    rows: list[Row] = []
    for name, totals in state.queues.items():
        rows += _queue_rows(
            name, totals, [tasks for tasks in still_open if tasks.queue == name], state, shown
        )
    rows += [
        Row({"reason": reason}, {"censored": float(state.aside[kind])})
        for reason, kind in (
            ("closed_unassigned", "censored"),
            ("deleted", "deleted"),
            ("untracked", "untracked"),
        )
    ]
    rows.append(Row({"role": holder}, {"horizon_hold_seconds": max(0.0, horizon.hold)}))
    return [
        *rows,
        *_stage_rows(state, shown),
        *_return_rows(state, shown),
        Row({}, _general(state, horizon, shown)),
    ]


def _queue_rows(
    name: str, totals: QueueTotals, here: Sequence[OpenTasks], state: AssignmentState, shown: Shown
) -> list[Row]:
    queue = {"queue": name}
    values: dict[str, float | Histogram] = {
        "unassigned": float(sum(tasks.n + len(tasks.returned) for tasks in here)),
        "oldest_unassigned_age_seconds": max((tasks.oldest for tasks in here), default=0.0),
        "assignment_seconds": totals.histogram(state.bounds),
    }
    if shown.followed:
        values["reassigned"] = float(totals.reassigned)
    rows = [Row({**queue, "outcome": o}, {"settled": float(totals.settled[o])}) for o in OUTCOMES]
    if state.throughput is not None:
        assigned, completed = state.throughput.get(name, (0, 0))
        events = (
            {"assigned": assigned, "completed": completed}
            if shown.completions
            else {"assigned": assigned}
        )
        rows += [
            Row({**queue, "event": event}, {"throughput_per_hour": float(n)})
            for event, n in events.items()
        ]
    return [*rows, Row(queue, values)]


def _stage_rows(state: AssignmentState, shown: Shown) -> list[Row]:
    return [
        Row(
            {"stage": stage},
            {
                "stage_seconds": totals.histogram(STAGE_BOUNDS),
                "stage_unfinished": float(totals.unfinished),
                "stage_skewed": float(totals.skewed),
            },
        )
        for stage, totals in stage_totals(state, shown.stages).items()
    ]


def _return_rows(state: AssignmentState, shown: Shown) -> list[Row]:
    if not shown.followed:
        return []
    return [
        Row({"bound": end}, {"reassignment_seconds": times.histogram(state.bounds)})
        for end, times in state.returns.items()
    ]


def _general(
    state: AssignmentState, horizon: Horizon, shown: Shown
) -> dict[str, float | Histogram]:
    aside, settled_to = state.aside, state.settled_to or horizon.now
    general: dict[str, float | Histogram] = {
        "negative_latency": float(aside["negative"]),
        "offset_latency": float(aside["offset"]),
        "missing_timestamp": float(aside["missing"]),
        "late_arrivals": float(state.late_arrivals),
        "watermark_lag_seconds": (horizon.now - settled_to).total_seconds(),
    }
    if shown.tenants:
        general["tenants_compared"] = float(state.spread.tenants)
    if shown.tenants and state.spread.is_enough:
        general["tenant_wait_ratio"] = state.spread.ratio
        general["tenant_wait_jain_index"] = state.spread.jain
    return general


def describe_trends(state: AssignmentState, shown: Shown, limit: float) -> dict[str, Any]:
    """Sections of the evidence beside `assignment`: throughput of the last hour, stages, tenants,
    re-assignments.
    """
    found: dict[str, Any] = {}
    if state.throughput is not None:
        assigned, completed = (
            sum(column) for column in zip((0, 0), *state.throughput.values(), strict=True)
        )
        events = {"assigned": assigned, "completed": completed}
        found["throughput_per_hour"] = events if shown.completions else {"assigned": assigned}
    if shown.stages:
        found["stages"] = {
            name: {
                "n": t.total,
                "mean_seconds": t.sum / t.total if t.total else None,
                "unfinished": t.unfinished,
            }
            for name, t in stage_totals(state, shown.stages).items()
        }
    if shown.tenants:
        found["tenants"] = state.spread.describe(limit)
    if shown.followed:
        found["reassignments"] = {
            "n": sum(totals.reassigned for totals in state.queues.values()),
            "within_deadline": state.in_time["reassigned"],
            "missing_within_deadline": state.in_time["missing"],
        }
    return found
