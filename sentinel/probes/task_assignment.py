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

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from sentinel.adapters.columns import find_clocks, prove_columns
from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.relation import Relation, prove_visible
from sentinel.adapters.tasks import reader as task_reader
from sentinel.adapters.tasks.queries import TaskStatements, TaskTable
from sentinel.core.fault import FaultKind, Severity, headline, judge
from sentinel.core.model import Finding, Fold, Impact, Row, Section, Sli, Term
from sentinel.core.moment.skew import ColumnClock
from sentinel.core.quantity import format_duration
from sentinel.core.tasks import assignment
from sentinel.core.tasks.assignment import STAGE_BOUNDS
from sentinel.core.tasks.finding import (
    SKEWED_TIMES,
    AssignmentFacts,
    AssignmentLimits,
    Minute,
    SkewFacts,
    describe_waiting,
    find_faults,
)
from sentinel.core.tasks.rows import MEASUREMENTS, OpenTasks, Shown, describe_trends, make_rows
from sentinel.core.tasks.state import AssignmentState
from sentinel.probes import Context, Kind, Options, faults_of_target
from sentinel.strict.field import ZONE, Duration, Percentage, Zone
from sentinel.watch.assignment import PROVE_EVERY, AssignmentPoll, PollTimes, measure

SAMPLE = 50_000


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
    zone: Zone | None = Field(None, description=ZONE)
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
            self.deadline,
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

    @property
    def times(self) -> PollTimes:
        """What a poll needs of these options."""
        return PollTimes(
            self.deadline, self.settle_after, self.stages_after, self.window, self.follow
        )

    def statements(
        self, clocks: Mapping[str, ColumnClock], shifts: Sequence[float]
    ) -> TaskStatements:
        """The SQL for this table, whose columns are written by these clocks."""
        return TaskStatements(
            self.tasks,
            self.deadline,
            self.settle_after,
            self.bounds,
            SAMPLE,
            STAGE_BOUNDS,
            self.fairness.min_events,
            clocks,
            shifts,
        )


async def run(options: AssignmentOptions, context: Context) -> Finding:
    """Settle what is due, then judge by the oldest open task, by the last minute and by the
    tenants' waits.
    """
    client, state = context.postgres(), context.state
    statements, is_due = await _prove(options, client, context)
    horizon, holder = await task_reader.read_horizon(client.query, options.readonly_roles)
    poll = AssignmentPoll(
        options.times, statements, client, state, horizon, holder, context.monotonic()
    )
    if is_due:
        inserted = await task_reader.count_inserted(client.query, options.table)
        state.inserted.note(horizon.now.timestamp(), inserted, state.counted)
    state.fit(options.bounds)
    if options.columns.queue is None:
        state.label("")
    latencies, still_open = await measure(poll, options.method == "tracker")
    return _judge(options, poll, still_open, latencies)


async def _prove(
    options: AssignmentOptions, client: PostgresClient, context: Context
) -> tuple[TaskStatements, bool]:
    """Once a minute: by which clocks are the columns written, do we see the rows, at what cost, how
    far back? Raises NotMeasurable with the remedy.

    Gives the statements, and whether it was due.
    """
    state: AssignmentState = context.state
    now, query = context.utcnow(), client.query
    is_due = (
        state.proved is None
        or state.proved[0] != options
        or context.monotonic() - state.proved[1] >= PROVE_EVERY
    )
    if is_due:
        state.proved = state.trends_at = None
        await prove_visible(query, Relation.of(options.table))
        times = options.tasks.times
        await prove_columns(query, options.table, times, times, to_the_second=True)
        clocks = await find_clocks(query, options.table, times, options.zone)
        state.know_clocks(clocks, options.columns.created_at, options.columns.assigned_at)
    statements = options.statements(state.clocks, state.shifts(now.timestamp()))
    if not is_due:
        return statements, False
    await task_reader.prove_readable(query, statements, now)
    if options.method == "tracker":
        state.id_type = await task_reader.prove_followable(query, statements, now)
    else:
        state.id_type = await task_reader.find_id_type(query, statements)
    state.reach = await task_reader.find_reaches(
        query, statements, now, options.lookback, options.fairness.window
    )
    state.proved = options, context.monotonic()
    return statements, True


# --- judgement ------------------------------------------------------------------------------------


def _judge(
    options: AssignmentOptions,
    poll: AssignmentPoll,
    still_open: list[OpenTasks],
    latencies: list[float],
) -> Finding:
    state = poll.state
    facts = _gather(options, poll, still_open)
    faults = find_faults(facts, options.limits)
    ages = [age for tasks in still_open for age in tasks.ages]
    p50, p99 = (assignment.censored_quantile(latencies, ages, q) for q in (0.5, 0.99))
    unassigned = sum(tasks.n + len(tasks.returned) for tasks in still_open)
    minute = facts.minute
    figures = (
        f"p99 {format_duration(p99)}; {unassigned} unassigned, {minute.good} of {minute.settled} in"
        f" time in the last minute{_tell_zone(state)}"
    )
    measured = {
        "method": options.method,
        "p50_seconds": p50,
        "p99_seconds": p99,
        "deadline_seconds": options.deadline,
        "oldest_unassigned_seconds": max((tasks.oldest for tasks in still_open), default=0.0),
        "open": unassigned,
    }
    evidence = {"assignment": {**state.summary(), **measured}, **_tell_more(options, state, facts)}
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


def _gather(
    options: AssignmentOptions, poll: AssignmentPoll, still_open: list[OpenTasks]
) -> AssignmentFacts:
    """What the judgement needs."""
    state, now = poll.state, poll.horizon.now.timestamp()
    settled_to = (state.settled_to or poll.horizon.exact).timestamp()
    return AssignmentFacts(
        now,
        options.table,
        still_open,
        Minute(*state.recent.count(now)),
        {queue: Minute(*recent.count(now)) for queue, recent in state.recent_by_queue.items()},
        state.spread,
        state.inserted.count_missed(settled_to, state.counted),
        SkewFacts(state.created_clock, state.assigned_clock, *state.ahead, state.odd.most(now)),
    )


def _tell_zone(state: AssignmentState) -> str:
    """In which zone a column without one is read, and on what that rests."""
    clock = state.created_clock
    return f"; {clock.describe()}" if clock and clock.is_naive else ""


def _tell_more(
    options: AssignmentOptions, state: AssignmentState, facts: AssignmentFacts
) -> dict[str, Any]:
    """Sections of the evidence beside `assignment`."""
    waiting = describe_waiting(facts, options.limits)
    trends = describe_trends(state, options.shown, options.fairness.limit)
    zones = {"zones": [clock.describe() for clock in state.clocks.values() if clock.is_naive]}
    return {
        **({"waiting": waiting} if waiting else {}),
        **trends,
        **state.reach.describe(),
        **(zones if zones["zones"] else {}),
    }


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
    board="tasks",
    resources={"resource": "postgres"},
    load_state=AssignmentState,
    patient=True,
    clocks=lambda state: state.clocks.values(),
    default_every=1.0,
    faults=FAULTS,
    measurements=MEASUREMENTS,
    slis=(
        Sli(
            "in_deadline",
            "tasks that were assigned within the deadline",
            (Term("settled"),),
            (Term("settled", {"outcome": "in_deadline"}),),
        ),
    ),
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
            trend=True,
        ),
        Impact("tasks created", Section.CREATED, (Term("settled"),)),
    ),
)
