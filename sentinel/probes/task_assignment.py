"""Kind `task_assignment`: how long until a new task has an agent, and whether anybody still
assigns.

Two methods, both behind a commit horizon, so that every task is counted once, also those whose
transaction commits late, and a task that nobody took is a failure and not a missing row. `cohorts`
(measurement.md §3.2) judges all tasks at the age of the deadline by counting, and keeps a
timestamp. It sees a row only as it is at that age: a task that was given back and assigned again
shows its last assignment, or counts as unassigned. `tracker` (§3.3) follows each open task by id:
the first latency is exact and never overwritten, re-assignments are counted, missing times are
bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.tasks import reader as task_reader
from sentinel.adapters.tasks.queries import TaskStatements, TaskTable
from sentinel.core.fault import FaultKind, Severity, headline, judge
from sentinel.core.model import Finding, Fold, Impact, Row, Section, Term
from sentinel.core.quantity import format_duration
from sentinel.core.tasks import assignment
from sentinel.core.tasks.assignment import STAGE_BOUNDS, Horizon
from sentinel.core.tasks.fairness import Spread
from sentinel.core.tasks.finding import (
    SKEWED_TIMES,
    AssignmentFacts,
    AssignmentLimits,
    Minute,
    describe_waiting,
    find_faults,
)
from sentinel.core.tasks.rows import MEASUREMENTS, OpenTasks, Shown, describe_trends, make_rows
from sentinel.core.tasks.state import AssignmentState
from sentinel.core.tasks.tracker import Tracker, TrackerRules
from sentinel.probes import Context, Kind, Options, faults_of_target
from sentinel.strict.field import Duration, Percentage

PROVE_EVERY = 60.0
TRENDS_EVERY = 30.0
SAMPLE = 50_000
SHOWN_TASKS = 3


class Columns(Options):
    """Which column is what."""

    id: str = Field("id", description="column of the task's id; needs an index with method tracker")
    created_at: str = Field("created_at", description="column of the creation time; needs an index")
    assigned_at: str = Field(
        "assigned_at", description="column of the assignment time, NULL until then"
    )
    status: str | None = Field(
        "status", description="column of the status, or null if there is none"
    )
    queue: str | None = Field(
        None, description="column that tells queues or task types apart (at most 50)"
    )
    tenant: str | None = Field(
        None, description="column of the tenant: are waits fair between tenants?"
    )
    started_at: str | None = Field(
        None, description="column of the time at which an agent began: stage pickup"
    )
    progress_at: str | None = Field(
        None, description="column of the first progress: stage first_progress"
    )
    completed_at: str | None = Field(
        None, description="column of the completion: stage run, completions per hour"
    )


class Fairness(Options):
    """When the distribution between tenants is unfair; needs `columns.tenant`."""

    window: Duration = Field(
        900.0, gt=0, description="tasks created in this time are compared, and all open ones"
    )
    min_events: int = Field(20, ge=1, description="a tenant with fewer tasks is not compared")
    limit: float = Field(
        10.0,
        gt=1,
        description=(
            "degraded when a tenant waits so many times longer: p90 against the least, mean"
            " against all"
        ),
    )


class AssignmentOptions(Options):
    """Options of `task_assignment`."""

    resource: str | None = Field(None, description="PostgreSQL resource with the task table")
    table: str = Field(
        "tasks", min_length=1, description="table or view, with its schema: watch.tasks"
    )
    columns: Columns = Field(Columns(), description="names of the columns")
    method: Literal["cohorts", "tracker"] = Field(
        "cohorts",
        description=(
            "cohorts counts at the deadline; tracker follows each open task (exact latencies,"
            " re-assignments)"
        ),
    )
    deadline: Duration = Field(0.1, gt=0, description="a task should be assigned within this time")
    settle_after: Duration = Field(
        60.0, description="age at which a task enters the latency histogram"
    )
    window: Duration = Field(
        300.0, gt=0, description="p50 and p99 are of tasks created in this time"
    )
    lookback: Duration = Field(86400.0, gt=0, description="how far back open tasks are looked for")
    open_statuses: list[str] = Field(
        ["pending", "created", "new", "queued", "waiting"],
        description=(
            "statuses that wait for an agent, in any case; others without assigned_at are not"
            " counted as open"
        ),
    )
    assigned_statuses: list[str] = Field(
        ["assigned", "in_progress", "running", "completed", "done"],
        description=(
            "statuses that imply an assignment; without assigned_at they count as missing_timestamp"
        ),
    )
    unassigned_degraded: Duration | None = Field(
        None,
        description=(
            "age of the oldest open task that is degraded; default 5 × deadline, at least 2s"
        ),
    )
    unassigned_down: Duration = Field(
        5.0, gt=0, description="age of the oldest open task that is down"
    )
    objective: Percentage = Field(
        0.99, description="share of tasks of the last minute to be assigned in time"
    )
    min_events: int = Field(
        20, ge=1, description="so many tasks in the last minute before the share is judged"
    )
    readonly_roles: list[str] = Field(
        [], description="roles that never write tasks: they don't hold the horizon"
    )
    stages_after: Duration = Field(
        600.0, description="age at which a task enters the histograms of its stages"
    )
    follow: Duration = Field(
        300.0, description="tracker: an assigned task is watched for a give-back so long"
    )
    fairness: Fairness = Field(Fairness(), description="between tenants")

    @property
    def limits(self) -> AssignmentLimits:
        """When the assigner is bad."""
        degraded = self.unassigned_degraded
        if degraded is None:
            degraded = max(2.0, 5 * self.deadline)
        return AssignmentLimits(
            degraded,
            self.unassigned_down,
            self.objective,
            self.min_events,
            self.fairness.limit,
        )

    @property
    def bounds(self) -> tuple[float, ...]:
        """Edges of the histogram, seconds."""
        return assignment.usable_bounds(self.deadline, self.settle_after)

    @property
    def shown(self) -> Shown:
        """What is measured beside the assignment."""
        columns = self.columns
        stages = tuple(self.tasks.stages)
        return Shown(
            stages,
            columns.completed_at is not None,
            columns.tenant is not None,
            self.method == "tracker",
        )

    @property
    def tasks(self) -> TaskTable:
        """The table by its names."""
        columns = self.columns.model_dump()
        return TaskTable(
            table=self.table,
            open_statuses=self.open_statuses,
            assigned_statuses=self.assigned_statuses,
            **columns,
        )

    def statements(self) -> TaskStatements:
        """The SQL for this table."""
        return TaskStatements(
            self.tasks,
            self.deadline,
            self.settle_after,
            self.bounds,
            SAMPLE,
            STAGE_BOUNDS,
            self.fairness.min_events,
        )


@dataclass(frozen=True, slots=True)
class AssignmentPoll:
    """What one run works with."""

    options: AssignmentOptions
    statements: TaskStatements
    client: PostgresClient
    state: AssignmentState
    horizon: Horizon
    holder: str

    async def tasks(
        self, sql: str, start: datetime, end: datetime, **more: Any
    ) -> list[dict[str, Any]]:
        """Run one of the statements over the tasks created in [start, end)."""
        return await self.client.query(sql, self.statements.within(start, end, **more))

    def ago(self, seconds: float) -> datetime:
        """An instant before this run, by the server's clock."""
        return self.horizon.now - timedelta(seconds=seconds)


Measured = tuple[list[float], list[OpenTasks]]


async def run(options: AssignmentOptions, context: Context) -> Finding:
    """Settle what is due, then judge by the oldest open task, by the last minute and by the
    tenants' waits.
    """
    client, statements, state = context.postgres(), options.statements(), context.state
    is_due = await _prove(options, statements, client, context)
    horizon, holder = await task_reader.read_horizon(client.query, options.readonly_roles)
    poll = AssignmentPoll(options, statements, client, state, horizon, holder)
    if is_due:
        inserted = await task_reader.count_inserted(client.query, options.table)
        state.inserted.note(horizon.now.timestamp(), inserted, state.counted)
    state.fit(options.bounds)
    if options.columns.queue is None:
        state.label("")
    measure = _track if options.method == "tracker" else _count_cohorts
    latencies, still_open = await measure(poll, context.monotonic())
    await _stage(poll)
    await _recount(poll)
    await _follow_trends(poll, context.monotonic())
    return _judge(poll, still_open, latencies)


async def _prove(
    options: AssignmentOptions, statements: TaskStatements, client: PostgresClient, context: Context
) -> bool:
    """Once a minute: do we see the rows, at what cost, how far back? Raises NotMeasurable with the
    remedy.

    Gives whether it was due.
    """
    state: AssignmentState = context.state
    if (
        state.proved is not None
        and state.proved[0] == options
        and context.monotonic() - state.proved[1] < PROVE_EVERY
    ):
        return False
    state.proved = state.trends_at = None
    now, query = context.utcnow(), client.query
    await task_reader.prove_readable(query, statements, now)
    if options.method == "tracker":
        state.id_type = await task_reader.prove_followable(query, statements, now)
    else:
        state.id_type = await task_reader.find_id_type(query, statements)
    state.reach = await task_reader.find_reaches(
        query, statements, now, options.lookback, options.fairness.window
    )
    state.proved = options, context.monotonic()
    return True


# --- method A: deadline cohorts -------------------------------------------------------------------


async def _count_cohorts(poll: AssignmentPoll, monotonic: float) -> Measured:
    """Both passes; the newest 50 000 latencies of the window, and what is open."""
    if poll.state.tracker is not None:  # it counted other tasks than the watermarks say
        poll.state.tracker = poll.state.settled_to = poll.state.observed_to = None
    await _settle(poll)
    await _observe(poll)
    rows = await poll.tasks(poll.statements.sample, poll.ago(poll.options.window), poll.horizon.now)
    return rows[0]["latencies"] or [], await _read_open(poll, monotonic)


async def _settle(poll: AssignmentPoll) -> None:
    """The SLI pass: every task at the age of its deadline, into exactly one class."""
    start = poll.state.settled_to = poll.state.settled_to or poll.horizon.exact
    for window in assignment.due_windows(start, poll.horizon, poll.options.deadline):
        rows = await poll.tasks(poll.statements.settle, window.start, window.end)
        poll.state.settle(rows, window, poll.horizon)


async def _observe(poll: AssignmentPoll) -> None:
    """The histogram pass: every task at the age `settle_after`."""
    start = poll.state.observed_to = poll.state.observed_to or poll.horizon.exact
    for window in assignment.due_windows(start, poll.horizon, poll.options.settle_after):
        for row in await poll.tasks(poll.statements.histogram, window.start, window.end):
            poll.state.queue(row["queue"]).observe(row["buckets"], row["n"], float(row["seconds"]))
        poll.state.observed_to = window.end


async def _read_open(poll: AssignmentPoll, monotonic: float) -> list[OpenTasks]:
    """Open tasks by queue. The whole lookback once a minute, else from the oldest one known on."""
    state, now = poll.state, poll.horizon.now
    start = poll.ago(state.reach.open)
    if state.open_since is not None and monotonic - state.swept_at < PROVE_EVERY:
        start = max(start, state.open_since)
    else:
        state.swept_at = monotonic
    # With cohorts a table may lack an id: then tasks are counted and not named.
    sql = poll.statements.open_named if state.id_type else poll.statements.open
    rows = await poll.tasks(sql, start, now + timedelta(seconds=1))
    found = [_read_open_row(state, row) for row in rows]
    oldest = max((tasks.oldest for tasks in found), default=0.0)
    state.open_since = min(poll.horizon.capped, now - timedelta(seconds=oldest + 1))
    return found


def _read_open_row(state: AssignmentState, row: Mapping[str, Any]) -> OpenTasks:
    queue, ids = row["queue"], row["ids"] or ()
    return OpenTasks(state.label(queue), row["n"], row["ages"], ids=ids, name=queue or "")


# --- method B: each task by its id ----------------------------------------------------------------


async def _track(poll: AssignmentPoll, monotonic: float) -> Measured:
    """One snapshot of new and followed tasks; the latencies of the newest tasks of the window, and
    what is open.
    """
    state, options, horizon = poll.state, poll.options, poll.horizon
    tracker, is_sweep = state.tracker or Tracker(), monotonic - state.swept_at >= PROVE_EVERY
    lookback = state.reach.open if is_sweep or state.tracker is None else None
    seen, recount = await task_reader.read_poll(
        poll.client, poll.statements, state.id_type, tracker, horizon, lookback
    )
    tally = tracker.apply(
        seen, TrackerRules(options.deadline, options.settle_after, options.follow)
    )
    state.take(tally, horizon, options.deadline, options.settle_after)
    state.tracker, state.swept_at = tracker, state.swept_at if lookback is None else monotonic
    state.recounts += [(recount.start, recount.end, recount.counted)] if recount else []
    state.settled_to = assignment.due_until(horizon, options.deadline)
    state.observed_to = assignment.due_until(horizon, options.settle_after)
    waits, names = tracker.waits(horizon.now.timestamp()), tracker.name_oldest(SHOWN_TASKS)
    still_open = [
        OpenTasks(state.label(queue), len(ages), ages, returned, names[queue], queue or "")
        for queue, (ages, returned) in waits.items()
    ]
    return tracker.latencies(poll.ago(options.window).timestamp()), still_open


# --- both -----------------------------------------------------------------------------------------


async def _stage(poll: AssignmentPoll) -> None:
    """Durations of the stages: every task at the age `stages_after`."""
    if not poll.statements.stages:
        return
    start = poll.state.staged_to = poll.state.staged_to or poll.horizon.exact
    for window in assignment.due_windows(start, poll.horizon, poll.options.stages_after):
        poll.state.stage(await poll.tasks(poll.statements.stages, window.start, window.end), window)


async def _recount(poll: AssignmentPoll) -> None:
    """Ten minutes later: what became visible in windows that were settled in front of the horizon."""
    recounts, limit = poll.state.recounts, poll.ago(assignment.RECOUNT_AFTER)
    while recounts and recounts[0][1] <= limit:
        start, end, counted = recounts[0]
        found = (await poll.tasks(poll.statements.count, start, end))[0]["n"]
        recounts.pop(0)
        poll.state.late_arrivals += max(0, found - counted)


async def _follow_trends(poll: AssignmentPoll, monotonic: float) -> None:
    """Twice a minute: what was assigned and completed in the last hour, and how long each tenant
    waits.

    A look that fails is not repeated at once: it costs one run, and its figures are missing and not
    old.
    """
    state = poll.state
    if state.trends_at is not None and monotonic - state.trends_at < TRENDS_EVERY:
        return
    state.trends_at, state.throughput, state.spread = monotonic, None, Spread()
    start = poll.ago(state.reach.throughput)
    state.note_throughput(await poll.tasks(poll.statements.throughput, start, poll.horizon.now))
    state.spread = await _read_spread(poll)


async def _read_spread(poll: AssignmentPoll) -> Spread:
    if not poll.statements.tenants:
        return Spread()
    reach = poll.state.reach
    start, oldest = poll.ago(reach.tenants), poll.ago(reach.open)
    return task_reader.read_spread(
        await poll.tasks(poll.statements.tenants, start, poll.horizon.now, oldest=oldest)
    )


# --- judgement ------------------------------------------------------------------------------------


def _judge(poll: AssignmentPoll, still_open: list[OpenTasks], latencies: list[float]) -> Finding:
    options, state = poll.options, poll.state
    facts = _gather(poll, still_open)
    faults = find_faults(facts, options.limits)
    ages = [age for tasks in still_open for age in tasks.ages]
    p50, p99 = (assignment.censored_quantile(latencies, ages, q) for q in (0.5, 0.99))
    unassigned = sum(tasks.n + len(tasks.returned) for tasks in still_open)
    minute = facts.minute
    figures = (
        f"p99 {format_duration(p99)}; {unassigned} unassigned, {minute.good} of {minute.settled} in"
        " time in the last minute"
    )
    measured = {
        "method": options.method,
        "p50_seconds": p50,
        "p99_seconds": p99,
        "deadline_seconds": options.deadline,
        "oldest_unassigned_seconds": max((tasks.oldest for tasks in still_open), default=0.0),
        "open": unassigned,
    }
    evidence = {"assignment": {**state.summary(), **measured}, **_tell_more(poll, facts)}
    return Finding(
        judge(faults),
        "; ".join([headline(faults), figures]) if faults else figures,
        rows=[
            *make_rows(state, still_open, poll.horizon, poll.holder, options.shown),
            *([] if p99 is None else [Row({}, {"assignment_p99_seconds": p99})]),
        ],
        evidence=evidence,
        guidance=faults[0].guidance if faults else SKEWED_TIMES if minute.skewed else "",
        key=("p99", format_duration(p99)),
        faults=faults,
    )


def _gather(poll: AssignmentPoll, still_open: list[OpenTasks]) -> AssignmentFacts:
    """What the judgement needs."""
    state, now = poll.state, poll.horizon.now.timestamp()
    settled_to = (state.settled_to or poll.horizon.exact).timestamp()
    return AssignmentFacts(
        now,
        poll.options.table,
        still_open,
        Minute(*state.recent.count(now)),
        {queue: Minute(*recent.count(now)) for queue, recent in state.recent_by_queue.items()},
        state.spread,
        state.inserted.count_missed(settled_to, state.counted),
    )


def _tell_more(poll: AssignmentPoll, facts: AssignmentFacts) -> dict[str, Any]:
    """Sections of the evidence beside `assignment`."""
    options, state = poll.options, poll.state
    waiting = describe_waiting(facts, options.limits)
    trends = describe_trends(state, options.shown, options.fairness.limit)
    return {**({"waiting": waiting} if waiting else {}), **trends, **state.reach.describe()}


_RUNBOOK = "assigner-hung"
FAULTS = (
    FaultKind(
        "unassigned", Severity.PAGE, _RUNBOOK, "open tasks wait too long", ("queue", "table")
    ),
    FaultKind(
        "late", Severity.TICKET, _RUNBOOK, "too few tasks are assigned in time", ("queue", "table")
    ),
    FaultKind(
        "starved", Severity.TICKET, _RUNBOOK, "waits longer than others", ("tenant", "table")
    ),
    FaultKind("skewed", Severity.TICKET, "sentinel-blind", "tasks have impossible times"),
    FaultKind("missed", Severity.TICKET, "sentinel-blind", "tasks that no time of creation shows"),
    *faults_of_target("database-unreachable", rejected="database-degraded"),
)

KIND = Kind(
    name="task_assignment",
    summary="task assignment latency and open tasks of a table, each task counted once",
    options=AssignmentOptions,
    run=run,
    resources={"resource": "postgres"},
    load_state=AssignmentState,
    default_every=1.0,
    faults=FAULTS,
    measurements=MEASUREMENTS,
    impact=(
        Impact("tasks assigned late", Section.INCIDENT, (Term("settled", {"outcome": "late"}),)),
        Impact(
            "tasks unassigned at their deadline",
            Section.INCIDENT,
            (Term("settled", {"outcome": "unassigned"}),),
        ),
        Impact(
            "assigned by their deadline",
            Section.ASSIGNMENT,
            (Term("settled", {"outcome": "in_deadline"}),),
            whole=(Term("settled"),),
            unit="ratio",
        ),
        Impact("tasks judged", Section.ASSIGNMENT, (Term("settled"),)),
        Impact(
            "unassigned at their deadline",
            Section.ASSIGNMENT,
            (Term("settled", {"outcome": "unassigned"}),),
        ),
        Impact("tasks unassigned", Section.ASSIGNMENT, (Term("unassigned"),), fold=Fold.SUM),
        Impact(
            "oldest unassigned task",
            Section.ASSIGNMENT,
            (Term("oldest_unassigned_age_seconds"),),
            fold=Fold.LARGEST,
            unit="seconds",
        ),
        Impact(
            "assignment p99",
            Section.ASSIGNMENT,
            (Term("assignment_p99_seconds"),),
            fold=Fold.LARGEST,
            unit="seconds",
        ),
        Impact("tasks created", Section.CREATED, (Term("settled"),)),
    ),
)
