"""Kind `workflow_canary`: does a task that is given to the platform come through, hop by hop, in
time and rightly?

One synthetic task at a time through enqueue → assignment → agent → result → row. A run never waits:
it looks at the tasks on their way, cleans up those that have served, and sends at most one. The
failing hop is named.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.tasks.synthetic import Rows, TaskBoard
from sentinel.core.bus.envelope import Envelope, Template
from sentinel.core.fault import FaultKind, Severity, headline, judge, sort_faults
from sentinel.core.model import Finding, Histogram, Impact, Measurement, Row, Section, Sli, Term
from sentinel.core.moment.skew import ColumnClock
from sentinel.core.quantity import format_duration
from sentinel.core.tasks.synthetic import (
    ASSIGNED,
    COMPLETED,
    CREATED,
    HOPS,
    PUBLISHED,
    RECENT,
    STARTED,
    TOTAL,
    HopPlan,
    Lasting,
    TaskOutcome,
)
from sentinel.core.tasks.synthetic_fleet import TaskFleet
from sentinel.core.tasks.workflow import Rule, drop_repeated, judge_path, judge_pause, judge_silence
from sentinel.probes import Context, Kind, Options, faults_of_target
from sentinel.strict.field import Duration
from sentinel.watch.synthetic import Errand, Round, RoundReach
from sentinel.watch.synthetic_mapping import (
    BusOptions,
    Cleanup,
    Enqueue,
    HopDeadlines,
    ResultOptions,
    RowOptions,
    Statuses,
)

PROVE_EVERY = 60.0


class FailedTasks(Options):
    """k of the last m."""

    failures: int = Field(2, ge=1, description="this many failed synthetic tasks …")
    of: int = Field(10, ge=1, le=RECENT, description="… of the last so many are degraded")


class WorkflowOptions(Options):
    """Options of `workflow_canary`."""

    database: str | None = Field(
        None, description="PostgreSQL resource with the task table, read only"
    )
    writer: str | None = Field(
        None, description="PostgreSQL resource to insert and clean up with; default: database"
    )
    api: str | None = Field(None, description="HTTP resource to enqueue through")
    bus: str | None = Field(
        None, description="Redis resource to enqueue through, and for the hop `published`"
    )
    path: str = Field(
        "0",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="name of the path in metrics and tokens; one for each sentinel",
    )
    enqueue: Enqueue = Field(
        description="how a task is given to the platform",
        examples=['{http: {path: /tasks, body: {type: canary, payload: {token: "{token}"}}}}'],
    )
    rows: RowOptions = Field(
        description="where its row is read", examples=["{table: public.tasks, marker: payload}"]
    )
    statuses: Statuses = Field(Statuses(), description="what statuses mean")
    deadlines: HopDeadlines = Field(HopDeadlines(), description="time for each hop")
    patience: float = Field(
        4.0, ge=1, description="after so many deadlines without progress a task is given up"
    )
    result: ResultOptions | None = Field(None, description="what the row must hold in the end")
    published: BusOptions | None = Field(None, description="watch the hop `published` on the bus")
    cleanup: Cleanup = Field(Cleanup(), description="what happens to rows that have served")
    send_every: Duration | None = Field(
        None, description="time between two tasks; default: one in each run"
    )
    max_open: int = Field(
        10, ge=1, le=100, description="nothing is sent while so many are on their way"
    )
    pause_file: str | None = Field(None, description="nothing is sent while this file exists")
    failures_of: FailedTasks = Field(FailedTasks(), description="how many failures are degraded")
    down_after: int = Field(
        3, ge=1, le=RECENT, description="so many in a row that never came through are down"
    )

    @property
    def rule(self) -> Rule:
        """When the path is bad."""
        return Rule(self.failures_of.failures, self.failures_of.of, self.down_after)

    @property
    def plan(self) -> HopPlan:
        """What is watched, and until when."""
        columns, meaning = self._times(), self._statuses()
        watched = {CREATED, COMPLETED} | {
            hop for hop in (ASSIGNED, STARTED) if columns.get(hop) or meaning.get(hop)
        }
        if self.published is not None:
            watched.add(PUBLISHED)
        deadlines = {hop: getattr(self.deadlines, hop) for hop in HOPS if hop in watched}
        failed = (
            frozenset(text.lower() for text in self.statuses.failed)
            if self.rows.status
            else frozenset()
        )
        return HopPlan(deadlines, meaning, failed, self.patience)

    def _times(self) -> dict[str, str | None]:
        rows = self.rows
        at = {CREATED: rows.created_at, ASSIGNED: rows.assigned_at, STARTED: rows.started_at}
        return {**at, COMPLETED: rows.completed_at}

    def _statuses(self) -> dict[str, frozenset[str]]:
        if self.rows.status is None:
            return {}
        words = {hop: getattr(self.statuses, hop) for hop in (ASSIGNED, STARTED, COMPLETED)}
        return {hop: frozenset(text.lower() for text in texts) for hop, texts in words.items()}

    def errand(self, interval: float) -> Errand:
        """What the path does. A run every `interval` seconds may send half of one too early, never
        one too late.
        """
        cleanup = self.cleanup
        return Errand(
            self.path,
            self.plan,
            self.enqueue.way,
            self.rows.lookback,
            (self.result.path, self.result.equals) if self.result else None,
            (
                (Template(self.published.stream), Envelope(self.published.task_id))
                if self.published
                else None
            ),
            cleanup.how,
            cleanup.table or self.rows.table,
            cleanup.set,
            cleanup.keep,
            self.send_every - interval / 2 if self.send_every is not None else 0.0,
            self.max_open,
            self.pause_file,
        )

    def board(self, client: PostgresClient, clocks: Mapping[str, ColumnClock]) -> TaskBoard:
        """The task table, seen from our tasks, its times read by these clocks."""
        rows = self.rows
        column = self.result.column if self.result else None
        described = Rows(
            rows.table,
            rows.id,
            rows.marker,
            rows.status,
            rows.agent,
            column,
            rows.created_at,
            self._times(),
            rows.zone,
            clocks,
        )
        return TaskBoard(client, described)


KEPT_LONG = 60.0
"""Seconds; a patient state is never so old."""


class WorkflowState:
    """The fleet survives; what was proved of the table, and that we looked for leftovers, does not."""

    def __init__(self, document: dict[str, Any] | None = None) -> None:
        self.fleet = TaskFleet(document, secrets.token_hex(6))
        self.proved_at: float | None = None
        self.clocks: Mapping[str, ColumnClock] = {}
        self.searched = False

    def dump(self) -> Any:
        """JSON-able document."""
        return self.fleet.dump()

    async def close(self) -> None:
        """Holds nothing."""


def find_pledge(options: WorkflowOptions, dump: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The name of the next task, before it is sent. Where rows are cleaned away soon after their end
    everything: a task that is gone must be known to have ended.
    """
    if not dump["promised"] or options.cleanup.keep < KEPT_LONG:
        return None
    return {"pledged": dump["promised"][-1][0]}


async def run(options: WorkflowOptions, context: Context) -> Finding:
    """Look at the tasks on their way, clean up, send the task that was promised before, and promise
    the next.
    """
    state: WorkflowState = context.state
    await _prove(options, state, context)
    reach = _reach(options, context)
    fleet = state.fleet
    round_ = Round(options.errand(context.interval), reach, fleet, await reach.board.read_clock())
    if not state.searched:
        await round_.search()
        state.searched = True
    await round_.resolve_suspects()
    await round_.look()
    await round_.clean()
    await round_.send()
    fleet.promise(options.path)
    fleet.looked, fleet.fresh = round_.now, False
    return _judge(options, round_)


def _reach(options: WorkflowOptions, context: Context) -> RoundReach:
    clients = context.clients
    return RoundReach(
        options.board(context.postgres("database"), context.state.clocks),
        context.postgres("writer" if "writer" in clients else "database"),
        context.http("api") if "api" in clients else None,
        context.redis("bus") if "bus" in clients else None,
        context.monotonic,
        context.stalled,
        context.trace_id,
        context.timeout,
    )


async def _prove(options: WorkflowOptions, state: WorkflowState, context: Context) -> None:
    """Once a minute: do we see the rows, are the columns there, by which clocks are they written, is
    there an index? Raises with the remedy.
    """
    monotonic = context.monotonic()
    if state.proved_at is None or monotonic - state.proved_at >= PROVE_EVERY:
        state.proved_at = None
        board = options.board(context.postgres("database"), {})
        state.clocks = await board.prove(await board.read_clock())
        state.proved_at = monotonic


# --- judgement ----------------------------------------------------------------------------------


def _judge(options: WorkflowOptions, round_: Round) -> Finding:
    fleet, rule = round_.fleet, options.rule
    late = {token: round_.find_overdue(canary) for token, canary in fleet.open.items()}
    recent, waiting = list(fleet.record.recent), [hop for hop in late.values() if hop]
    path = options.path
    hops = judge_path(path, recent, waiting, rule)
    paused = judge_pause(path, options.pause_file, fleet.last_sent, round_.now)
    silent = [] if hops else judge_silence(path, recent)
    found = [*hops, *round_.faults, *(paused if round_.paused else ()), *silent]
    faults = sort_faults(drop_repeated(found))
    judged = recent[-rule.of :]
    good = sum(outcome == TaskOutcome.OK for outcome, _ in judged)
    share = f"{good} of {len(judged)}" if judged else "no data"
    passed = f"{share} synthetic tasks came through in time" if judged else "none has ended yet"
    figures = f"{passed}, {len(late)} on their way"
    said = [headline(faults), figures, "sending is paused" if round_.paused else ""]
    return Finding(
        judge(faults),
        "; ".join(text for text in said if text),
        rows=_rows(path, round_),
        evidence=_evidence(round_, late),
        guidance=next((fault.guidance for fault in faults if fault.guidance), ""),
        key=("workflow", share),
        faults=faults,
    )


def _totals(round_: Round) -> dict[str, int]:
    fleet = round_.fleet
    return {
        "sent": fleet.record.sent,
        "open": len(fleet.open),
        "clock_disagreements": fleet.record.skewed,
        "cleaned": fleet.cleaned,
        "cleanup_failures": fleet.cleanup_failures,
        "uncleaned": fleet.uncleaned,
    }


def _evidence(round_: Round, late: Mapping[str, str]) -> dict[str, Any]:
    record = round_.fleet.record
    samples = [
        {
            "id": c.id,
            "token": c.token,
            "age": round(round_.now - c.sent, 3),
            "overdue": late[c.token],
        }
        for c in list(round_.fleet.open.values())[:5]
    ]
    by_outcome = {outcome.value: record.total(outcome) for outcome in TaskOutcome}
    return {
        "workflow": {**_totals(round_), **by_outcome, "blind": record.blind},
        "ends": {
            f"{outcome} {hop}".strip(): n for (outcome, hop), n in sorted(record.ends.items())
        },
        "on_their_way": samples,
        "hops": {hop: _mean(lasting.histogram()) for hop, lasting in record.lasted.items()},
    }


def _mean(histogram: Histogram) -> str:
    return f"mean {format_duration(histogram.sum / histogram.total)} of {histogram.total}"


def _rows(path: str, round_: Round) -> list[Row]:
    """Every outcome at every hop has its series from the start."""
    record, plan = round_.fleet.record, round_.errand.plan
    rows = [Row({"path": path}, {name: float(count) for name, count in _totals(round_).items()})]
    ends = {(outcome.value, hop): 0 for outcome, hop in plan.endings} | dict(record.ends)
    rows += [
        Row({"path": path, "outcome": o, "hop": hop}, {"outcomes": float(n)})
        for (o, hop), n in ends.items()
    ]
    for hop in (*plan.hops, TOTAL):
        lasted = record.lasted.get(hop) or Lasting()
        rows.append(Row({"path": path, "hop": hop}, {"hop_seconds": lasted.histogram()}))
    rows += [
        Row({"path": path, "hop": hop}, {"deadline_seconds": d})
        for hop, d in plan.deadlines.items()
    ]
    return rows


_PATH = ("path",)
_RUNBOOK = "workflow-canary-failing"
FAULTS = (
    FaultKind(
        "hop_failing", Severity.TICKET, _RUNBOOK, "synthetic tasks fail at a hop", ("path", "hop")
    ),
    FaultKind(
        "never_through",
        Severity.PAGE,
        _RUNBOOK,
        "no synthetic task comes through a hop any more",
        ("path", "hop"),
    ),
    FaultKind("enqueue", Severity.PAGE, _RUNBOOK, "the platform does not take a task", _PATH),
    FaultKind("bus_unread", Severity.TICKET, "bus-unreachable", "the bus can't be read", _PATH),
    FaultKind(
        "uncleaned",
        Severity.TICKET,
        _RUNBOOK,
        "rows of synthetic tasks that can't be cleaned up",
        ("path", "table"),
    ),
    FaultKind("foreign_row", Severity.TICKET, "sentinel-blind", "the id of another task was given"),
    FaultKind("paused", Severity.TICKET, "sentinel-blind", "sending is paused for too long"),
    FaultKind("no_verdict", Severity.INFO, "sentinel-blind", "no synthetic task has ended yet"),
    FaultKind(
        "unjudged", Severity.TICKET, "sentinel-blind", "a part of the path that we can't use", _PATH
    ),
    *faults_of_target("database-unreachable", rejected="database-degraded"),
)


def _declare(
    name: str, metric: str, help_: str, type_: str = "counter", labels: tuple[str, ...] = _PATH
) -> Measurement:
    unit = "seconds" if name.endswith("seconds") else ""
    return Measurement(name, help_, f"sentinel_workflow_{metric}", type_, unit, labels)


_FAILED = ("enqueue_error", "failed", "late", "lost", "stuck")

KIND = Kind(
    name="workflow_canary",
    summary="sends synthetic tasks through the whole platform and names the hop that fails",
    options=WorkflowOptions,
    run=run,
    board="canaries",
    resources={"database": "postgres", "writer": "postgres?", "api": "http?", "bus": "redis?"},
    load_state=WorkflowState,
    patient=True,
    pledge=find_pledge,
    default_every=30.0,
    requests=lambda options: int(options.enqueue.http is not None),
    faults=FAULTS,
    measurements=(
        _declare("sent", "canary_sent_total", "Synthetic tasks sent"),
        _declare(
            "outcomes",
            "canary_outcomes_total",
            "Synthetic tasks by how and at which hop they ended: each in exactly one",
            labels=("path", "outcome", "hop"),
        ),
        _declare("open", "canary_open", "Synthetic tasks on their way", "gauge"),
        _declare(
            "hop_seconds",
            "hop_seconds",
            "Time of each hop since the one before it, and of all (total); at most, where no column"
            " tells it",
            "histogram",
            ("path", "hop"),
        ),
        _declare(
            "deadline_seconds",
            "hop_deadline_seconds",
            "Deadline of each hop",
            "gauge",
            ("path", "hop"),
        ),
        _declare(
            "clock_disagreements",
            "clock_disagreements_total",
            "Synthetic tasks with times of clocks that disagree",
        ),
        _declare("cleaned", "cleaned_total", "Rows of synthetic tasks that were cleaned up"),
        _declare(
            "cleanup_failures",
            "cleanup_failures_total",
            "Failed tries to clean up a row of a synthetic task",
        ),
        _declare(
            "uncleaned",
            "uncleaned",
            "Rows of synthetic tasks whose clean-up has failed so far",
            "gauge",
        ),
    ),
    slis=(
        Sli(
            "in_time",
            "synthetic tasks that came through every hop in time",
            tuple(Term("outcomes", {"outcome": each}, sparse=True) for each in ("ok", *_FAILED)),
            (Term("outcomes", {"outcome": "ok"}, sparse=True),),
        ),
    ),
    impact=(
        Impact(
            "synthetic tasks that failed",
            Section.INCIDENT,
            tuple(Term("outcomes", {"outcome": each}, sparse=True) for each in _FAILED),
        ),
        Impact(
            "synthetic tasks in time",
            Section.WORK,
            (Term("outcomes", {"outcome": "ok"}, sparse=True),),
            whole=tuple(
                Term("outcomes", {"outcome": each}, sparse=True) for each in ("ok", *_FAILED)
            ),
            unit="ratio",
        ),
    ),
)
