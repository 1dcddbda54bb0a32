"""Kind `task_assignment`: how long until a new task has an agent, and whether anybody still assigns.

Deadline cohorts behind a commit horizon (measurement.md §3.2): every task is counted once, also those
whose transaction commits late, and a task that nobody took is a failure and not a missing row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.relation import Relation, prove_visible, quote_name, refuse_large_scan
from sentinel.adapters.task_queries import HORIZON, TaskStatements, TaskTable
from sentinel.core import assignment
from sentinel.core.assignment import ASIDE, OUTCOMES, Facts, Horizon, Limits, QueueTotals, Recent, Window
from sentinel.core.model import Finding, Histogram, Measurement, Row, Status
from sentinel.core.quantity import Duration, Percentage, format_duration
from sentinel.errors import NotMeasurable
from sentinel.probes import Context, Kind, Options

PROVE_EVERY = 60.0
SAMPLE = 50_000
MAX_QUEUES = 50
OTHER = "_other_"


class Columns(Options):
    """Which column is what."""

    id: str = Field("id", description="column of the task's id")
    created_at: str = Field("created_at", description="column of the creation time; needs an index")
    assigned_at: str = Field("assigned_at", description="column of the assignment time, NULL until then")
    status: str | None = Field("status", description="column of the status, or null if there is none")
    queue: str | None = Field(None, description="column that tells queues or task types apart (at most 50)")


class AssignmentOptions(Options):
    """Options of `task_assignment`."""

    resource: str | None = Field(None, description="PostgreSQL resource with the task table")
    table: str = Field("tasks", min_length=1, description="table or view, with its schema: watch.tasks")
    columns: Columns = Field(Columns(), description="names of the columns")
    deadline: Duration = Field(0.1, gt=0, description="a task should be assigned within this time")
    settle_after: Duration = Field(60.0, description="age at which a task enters the latency histogram")
    window: Duration = Field(300.0, gt=0, description="p50 and p99 are of tasks created in this time")
    lookback: Duration = Field(86400.0, gt=0, description="how far back open tasks are looked for")
    open_statuses: list[str] = Field(
        ["pending", "created", "new", "queued", "waiting"],
        description="statuses that wait for an agent, in any case; others without assigned_at are not counted as open",
    )
    assigned_statuses: list[str] = Field(
        ["assigned", "in_progress", "running", "completed", "done"],
        description="statuses that imply an assignment; without assigned_at they count as missing_timestamp",
    )
    unassigned_degraded: Duration | None = Field(
        None, description="age of the oldest open task that is degraded; default 5 × deadline, at least 2s"
    )
    unassigned_down: Duration = Field(5.0, gt=0, description="age of the oldest open task that is down")
    objective: Percentage = Field(0.99, description="share of tasks of the last minute to be assigned in time")
    min_events: int = Field(20, ge=1, description="so many tasks in the last minute before the share is judged")
    readonly_roles: list[str] = Field([], description="roles that never write tasks: they don't hold the horizon")

    @property
    def limits(self) -> Limits:
        """When the assigner is bad."""
        degraded = self.unassigned_degraded
        if degraded is None:
            degraded = max(2.0, 5 * self.deadline)
        return Limits(degraded, self.unassigned_down, self.objective, self.min_events)

    @property
    def bounds(self) -> tuple[float, ...]:
        """Edges of the histogram, seconds."""
        return assignment.usable_bounds(self.deadline, self.settle_after)

    def statements(self) -> TaskStatements:
        """The SQL for this table."""
        columns = self.columns
        tasks = TaskTable(
            self.table,
            columns.created_at,
            columns.assigned_at,
            columns.status,
            columns.queue,
            self.open_statuses,
            self.assigned_statuses,
        )
        return TaskStatements(tasks, self.deadline, self.settle_after, self.bounds, SAMPLE)


class AssignmentState:
    """Watermarks and totals. Both move together, in memory and in the document: each task is counted once."""

    def __init__(self, document: dict[str, Any] | None = None) -> None:
        known = document or {}
        self.settled_to = _instant(known.get("settled_to"))
        self.observed_to = _instant(known.get("observed_to"))
        self.queues = {name: QueueTotals(**totals) for name, totals in known.get("queues", {}).items()}
        self.aside: dict[str, int] = {**dict.fromkeys(ASIDE, 0), **known.get("aside", {})}
        self.late_arrivals: int = known.get("late_arrivals", 0)
        self.recounts: list[tuple[datetime, datetime, int]] = [
            (datetime.fromisoformat(a), datetime.fromisoformat(b), n) for a, b, n in known.get("recounts", ())
        ]
        self.recent = Recent(known.get("recent", ()))
        self.proved_at: float | None = None
        self.open_since: datetime | None = None
        self.swept_at = 0.0

    def dump(self) -> Any:
        """JSON-able document."""
        return {
            "settled_to": self.settled_to.isoformat() if self.settled_to else None,
            "observed_to": self.observed_to.isoformat() if self.observed_to else None,
            "queues": {name: totals.dump() for name, totals in self.queues.items()},
            "aside": dict(self.aside),
            "late_arrivals": self.late_arrivals,
            "recounts": [(a.isoformat(), b.isoformat(), n) for a, b, n in self.recounts],
            "recent": self.recent.dump(),
        }

    async def close(self) -> None:
        """Holds nothing."""

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

    def summary(self) -> dict[str, int]:
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


@dataclass(frozen=True, slots=True)
class OpenTasks:
    """Tasks of one queue that nobody has taken: how many, and the ages of the oldest ones in seconds."""

    queue: str
    n: int
    ages: list[float]


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


@dataclass(frozen=True, slots=True)
class Poll:
    """What one run works with."""

    options: AssignmentOptions
    statements: TaskStatements
    client: PostgresClient
    state: AssignmentState
    horizon: Horizon
    holder: str

    async def tasks(self, sql: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
        """Run one of the statements over the tasks created in [start, end)."""
        return await self.client.query(sql, self.statements.within(start, end))


async def run(options: AssignmentOptions, context: Context) -> Finding:
    """Settle what is due, then judge by the oldest open task and by the last minute."""
    client, statements = context.postgres(), options.statements()
    await _prove(options, statements, client, context)
    horizon, holder = await _read_horizon(options, client)
    poll = Poll(options, statements, client, context.state, horizon, holder)
    if options.columns.queue is None:
        poll.state.label("")
    await _settle(poll)
    await _observe(poll)
    await _recount(poll)
    return _judge(poll, await _read_open(poll, context.monotonic()), await _read_sample(poll))


async def _prove(
    options: AssignmentOptions, statements: TaskStatements, client: PostgresClient, context: Context
) -> None:
    """Once a minute: do we see the rows, and is there an index? Raises NotMeasurable with the remedy."""
    state: AssignmentState = context.state
    if state.proved_at is not None and context.monotonic() - state.proved_at < PROVE_EVERY:
        return
    state.proved_at = None
    await prove_visible(client.query, Relation.of(options.table))
    now = context.utcnow()
    params = statements.within(now - timedelta(milliseconds=1), now)  # so narrow that any index on it is chosen
    await refuse_large_scan(client.query, statements.settle, params, options.columns.created_at)
    state.proved_at = context.monotonic()


async def _read_horizon(options: AssignmentOptions, client: PostgresClient) -> tuple[Horizon, str]:
    """The horizon by a statement of its own: the windows need a snapshot that is younger than it."""
    row = (await client.query(HORIZON, {"readonly_roles": options.readonly_roles}))[0]
    if not row["sees_all"]:
        raise NotMeasurable(
            "blind: without pg_monitor the transactions of others, and so the commit horizon, can't be seen",
            f"GRANT pg_monitor TO {quote_name(row['role']).replace('%%', '%')};",
        )
    return Horizon(row["now"], row["horizon"]), row["holder"] or ""


async def _settle(poll: Poll) -> None:
    """The SLI pass: every task at the age of its deadline, into exactly one class."""
    start = poll.state.settled_to = poll.state.settled_to or poll.horizon.exact
    for window in assignment.due_windows(start, poll.horizon, poll.options.deadline):
        rows = await poll.tasks(poll.statements.settle, window.start, window.end)
        _count(poll.state, rows, window, poll.horizon)


def _count(state: AssignmentState, rows: Sequence[dict[str, Any]], window: Window, horizon: Horizon) -> None:
    """Totals and watermark move together, without an await between them."""
    classes: dict[str, int] = {}
    for row in rows:
        classes[row["class"]] = classes.get(row["class"], 0) + row["n"]
        if row["class"] in OUTCOMES:
            state.queue(row["queue"]).settled[row["class"]] += row["n"]
        else:
            state.aside[row["class"]] += row["n"]
    state.recent.add(horizon.now.timestamp(), classes)
    state.settled_to = window.end
    if window.provisional:
        state.recounts.append((window.start, window.end, sum(classes.values())))


async def _observe(poll: Poll) -> None:
    """The histogram pass: every task at the age `settle_after`."""
    start = poll.state.observed_to = poll.state.observed_to or poll.horizon.exact
    for window in assignment.due_windows(start, poll.horizon, poll.options.settle_after):
        for row in await poll.tasks(poll.statements.histogram, window.start, window.end):
            poll.state.queue(row["queue"]).observe(row["buckets"], row["n"], float(row["seconds"]))
        poll.state.observed_to = window.end


async def _recount(poll: Poll) -> None:
    """Ten minutes later: what became visible in windows that were settled in front of the horizon."""
    recounts, limit = poll.state.recounts, poll.horizon.now - timedelta(seconds=assignment.RECOUNT_AFTER)
    while recounts and recounts[0][1] <= limit:
        start, end, counted = recounts[0]
        found = (await poll.tasks(poll.statements.count, start, end))[0]["n"]
        recounts.pop(0)
        poll.state.late_arrivals += max(0, found - counted)


async def _read_open(poll: Poll, monotonic: float) -> list[OpenTasks]:
    """Open tasks by queue. The whole lookback once a minute, else from the oldest one known on."""
    state, now = poll.state, poll.horizon.now
    start = now - timedelta(seconds=poll.options.lookback)
    if state.open_since is not None and monotonic - state.swept_at < PROVE_EVERY:
        start = max(start, state.open_since)
    else:
        state.swept_at = monotonic
    rows = await poll.tasks(poll.statements.open, start, now + timedelta(seconds=1))
    found = [OpenTasks(state.label(row["queue"]), row["n"], row["ages"]) for row in rows]
    oldest = max((age for tasks in found for age in tasks.ages), default=0.0)
    state.open_since = min(poll.horizon.capped, now - timedelta(seconds=oldest + 1))
    return found


async def _read_sample(poll: Poll) -> list[float]:
    """Latencies of the newest tasks of the window, at most 50 000."""
    now = poll.horizon.now
    rows = await poll.tasks(poll.statements.sample, now - timedelta(seconds=poll.options.window), now)
    return rows[0]["latencies"] or []


# --- judgement ----------------------------------------------------------------------------------


def _judge(poll: Poll, still_open: list[OpenTasks], latencies: list[float]) -> Finding:
    ages = [age for tasks in still_open for age in tasks.ages]
    p50, p99 = (assignment.censored_quantile(latencies, ages, q) for q in (0.5, 0.99))
    oldest, unassigned = max(ages, default=0.0), sum(tasks.n for tasks in still_open)
    good, settled, skewed = poll.state.recent.count(poll.horizon.now.timestamp())
    status, reason = assignment.decide_status(Facts(oldest, good, settled, skewed), poll.options.limits)
    healthy = f"p99 {format_duration(p99)}; {unassigned} unassigned, {good} of {settled} in time in the last minute"
    figures = {
        "p50_seconds": p50,
        "p99_seconds": p99,
        "deadline_seconds": poll.options.deadline,
        "oldest_unassigned_seconds": oldest,
        "open": unassigned,
    }
    return Finding(
        status,
        reason or healthy,
        rows=_rows(poll, still_open),
        evidence={"assignment": {**poll.state.summary(), **figures}},
        guidance=_guidance(status, skewed),
        key=("p99", format_duration(p99)),
    )


def _guidance(status: Status, skewed: int) -> str:
    if skewed:
        return "some tasks were assigned before they were created: naive utcnow() into timestamptz, or a wrong clock"
    if status in (Status.DEGRADED, Status.DOWN):
        return "does the assigner run, does it see the open tasks, and is an agent free that fits them?"
    return ""


def _rows(poll: Poll, still_open: list[OpenTasks]) -> list[Row]:
    aside, horizon = poll.state.aside, poll.horizon
    rows: list[Row] = []
    for name, totals in poll.state.queues.items():
        queue = {"queue": name}
        here = [tasks for tasks in still_open if tasks.queue == name]
        values: dict[str, float | Histogram] = {
            "unassigned": float(sum(tasks.n for tasks in here)),
            "oldest_unassigned_age_seconds": max((age for tasks in here for age in tasks.ages), default=0.0),
            "assignment_seconds": totals.histogram(poll.options.bounds),
        }
        rows += [Row({**queue, "outcome": o}, {"settled": float(totals.settled[o])}) for o in OUTCOMES]
        rows.append(Row(queue, values))
    rows.append(Row({"reason": "closed_unassigned"}, {"censored": float(aside["censored"])}))
    rows.append(Row({"role": poll.holder}, {"horizon_hold_seconds": max(0.0, horizon.hold)}))
    settled_to = poll.state.settled_to or horizon.now
    general = {
        "negative_latency": float(aside["negative"]),
        "offset_latency": float(aside["offset"]),
        "missing_timestamp": float(aside["missing"]),
        "late_arrivals": float(poll.state.late_arrivals),
        "watermark_lag_seconds": (horizon.now - settled_to).total_seconds(),
    }
    return [*rows, Row({}, general)]


def _counter(name: str, help_: str, labels: tuple[str, ...] = (), metric: str = "") -> Measurement:
    return Measurement(name, help_, metric or f"sentinel_task_{name}_total", "counter", "", labels)


KIND = Kind(
    name="task_assignment",
    summary="task assignment latency and open tasks of a table, each task counted once",
    options=AssignmentOptions,
    run=run,
    resources={"resource": "postgres"},
    load_state=AssignmentState,
    default_every=1.0,
    measurements=(
        _counter(
            "settled",
            "Tasks by what had become of them at the deadline",
            ("queue", "outcome"),
            "sentinel_task_assignment_settled_total",
        ),
        Measurement(
            "assignment_seconds",
            "Time from creation to assignment; tasks that nobody took are in +Inf",
            "sentinel_task_assignment_seconds",
            "histogram",
            "seconds",
            ("queue",),
        ),
        Measurement("unassigned", "Open tasks without an agent", "sentinel_task_unassigned", "gauge", "", ("queue",)),
        Measurement(
            "oldest_unassigned_age_seconds",
            "Age of the oldest open task without an agent",
            "sentinel_task_oldest_unassigned_age_seconds",
            "gauge",
            "seconds",
            ("queue",),
        ),
        _counter("negative_latency", "Tasks assigned before they were created: another clock or time zone"),
        _counter("offset_latency", "Tasks assigned in the future or whole half hours later: another time zone"),
        _counter("missing_timestamp", "Tasks that are assigned by status but have no assignment time"),
        _counter("late_arrivals", "Tasks that became visible after their window was settled"),
        _counter("censored", "Tasks that ended without being assigned", ("reason",)),
        Measurement(
            "watermark_lag_seconds",
            "Age of the newest task that is settled",
            "sentinel_task_watermark_lag_seconds",
            "gauge",
            "seconds",
        ),
        Measurement(
            "horizon_hold_seconds",
            "Age of the oldest transaction, which holds the measurement back",
            "sentinel_task_horizon_hold_seconds",
            "gauge",
            "seconds",
            ("role",),
        ),
    ),
)
