"""Kind `bus_crosscheck`: was every assigned task really published, and did every acknowledged
message take effect?

The two losses that the bus's own figures can't show (measurement.md §1.6): a publication that
failed on the client, and an acknowledgement without an effect. Samples; each task and each entry is
judged once. What was trimmed before we could look is "not measurable", never missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from pydantic import Field

from sentinel.adapters.columns import find_clocks, prove_columns
from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.relation import Relation, explain, prove_visible, refuse_large_scan
from sentinel.adapters.tasks.assigned import AssignedTasks
from sentinel.core.bus.crosscheck import PROCESSED, PUBLISHED, SampleLedger
from sentinel.core.bus.crosscheck_finding import (
    CROSSCHECK_KINDS,
    REMEDIES,
    WORDS,
    CrosscheckDoubt,
    CrosscheckRules,
    find_crosscheck_faults,
)
from sentinel.core.bus.envelope import Envelope, Template
from sentinel.core.fault import Fault, headline, judge
from sentinel.core.model import Finding, Impact, Measurement, Row, Section, Sli, Term
from sentinel.core.moment.skew import ColumnClock
from sentinel.core.quantity import format_duration
from sentinel.probes import Context, Kind, Options, faults_of_target
from sentinel.strict.field import ZONE, Duration, Percentage, Zone
from sentinel.watch.crosscheck import FLOWS, CrosscheckWatch
from sentinel.watch.crosscheck_clock import FARTHEST
from sentinel.watch.crosscheck_look import CrosscheckLook, CrosscheckPlan

PROVE_EVERY = 60.0
AFFORDABLE = 5000.0
"""Planner cost of looking for the newest task far back."""
SHOWN = 10


class CrosscheckTasks(Options):
    """The task table."""

    table: str = Field("tasks", min_length=1, description="table or view of tasks, with its schema")
    id: str = Field("id", description="column of the task's id")
    agent: str = Field("assigned_agent_id", description="column of the agent that has the task")
    status: str = Field("status", description="column of the status")
    created_at: str = Field("created_at", description="column of the creation time; needs an index")
    assigned_at: str = Field("assigned_at", description="column of the assignment time")
    lookback: Duration = Field(
        900.0, gt=0, description="tasks that waited longer for an agent are not looked at"
    )
    assigned: list[str] = Field(
        ["assigned"],
        min_length=1,
        description="statuses of a task that nobody has begun, in any case",
    )
    zone: Zone | None = Field(None, description=ZONE)


class Message(Options):
    """Where an entry keeps what: a field, or field.key into its JSON; the first that leads
    somewhere counts.
    """

    task_id: list[str] = Field(
        ["task_id", "payload.task_id"],
        min_length=1,
        description="places of the task's id: field, or field.key of JSON",
    )
    message_id: list[str] = Field(
        ["message_id", "id"], description="places of the message's own id"
    )
    type: list[str] = Field(["type", "message_type"], description="places of the message's type")
    types: list[str] = Field(
        [], description="only messages of these types give a task to an agent; default: any type"
    )


class CrosscheckOptions(Options):
    """Options of `bus_crosscheck`."""

    bus: str | None = Field(None, description="Redis resource with the agents' streams")
    database: str | None = Field(None, description="PostgreSQL resource with the task table")
    flow: str = Field("tasks", min_length=1, description="name of the flow in metrics")
    tasks: CrosscheckTasks = Field(CrosscheckTasks(), description="the task table")
    stream: str = Field(
        "agent_messages:{agent}", min_length=1, description="an agent's stream; {agent} is its id"
    )
    group: str = Field(
        "group_{agent}",
        min_length=1,
        description="the group through which an agent reads its stream",
    )
    exclude: list[str] = Field(
        ["sentinel:*", "*:dlq"], description="streams that are left out, as globs"
    )
    message: Message = Field(Message(), description="where an entry keeps what")
    published_within: Duration = Field(
        10.0, gt=0, description="an assigned task's entry must be there after this time"
    )
    confirm_after: Duration = Field(
        30.0,
        gt=0,
        description=(
            "at this age a task without an entry is looked for once more, then it is missing"
        ),
    )
    effect_within: Duration = Field(
        30.0,
        gt=0,
        description="an acknowledged message's task must have left `assigned` after this time",
    )
    samples: int = Field(20, ge=1, le=200, description="tasks and entries to sample in a run")
    window: Duration = Field(
        300.0, gt=0, description="the verdict rests on the samples of this time"
    )
    down_share: Percentage = Field(0.5, gt=0, description="share of bad samples that is down …")
    min_samples: int = Field(20, ge=1, description="… once so many were judged")

    @property
    def plan(self) -> CrosscheckPlan:
        """What is compared, and when it is judged."""
        t, names = self.tasks, self.message
        return CrosscheckPlan(
            AssignedTasks(
                t.table, t.id, t.agent, t.status, t.created_at, t.assigned_at, t.lookback, t.zone
            ),
            Template(self.stream),
            Template(self.group),
            self.exclude,
            Envelope(names.task_id, names.message_id, names.type, names.types),
            frozenset(status.lower() for status in t.assigned),
            self.published_within,
            self.confirm_after,
            self.effect_within,
            self.samples,
            self.window,
        )

    @property
    def rules(self) -> CrosscheckRules:
        """What is tolerated."""
        return CrosscheckRules(
            self.flow,
            self.window,
            self.published_within,
            self.effect_within,
            self.down_share,
            self.min_samples,
        )


class CrosscheckState:
    """The watch over both directions survives a restart; the proof of the database's rights does
    not.
    """

    def __init__(self, document: dict[str, Any] | None = None) -> None:
        self.watch = CrosscheckWatch.load(document) if document else CrosscheckWatch()
        self.proved_at: float | None = None
        self.clocks: Mapping[str, ColumnClock] = {}
        self.back = FARTHEST

    def dump(self) -> Any:
        """JSON-able document."""
        return self.watch.dump()

    async def close(self) -> None:
        """Holds nothing."""


async def run(options: CrosscheckOptions, context: Context) -> Finding:
    """Both directions, then the verdict of the window."""
    state: CrosscheckState = context.state
    bus, database = context.redis("bus"), context.postgres("database")
    await _prove(options, database, context)
    plan = options.plan
    plan = replace(plan, statements=replace(plan.statements, clocks=state.clocks))
    look = await state.watch.look(plan, bus, database, state.back)
    return _judge(options, look, state.watch.ledgers)


async def _prove(options: CrosscheckOptions, database: PostgresClient, context: Context) -> None:
    """Once a minute: do we see the rows, by which clock are their times written, and is there an
    index? Raises NotMeasurable with the remedy.
    """
    state: CrosscheckState = context.state
    if state.proved_at is not None and context.monotonic() - state.proved_at < PROVE_EVERY:
        return
    state.proved_at = None
    tasks, now = options.plan.statements, context.utcnow().timestamp()
    await prove_visible(database.query, Relation.of(tasks.table))
    times = [tasks.created_at, tasks.assigned_at]
    await prove_columns(database.query, tasks.table, times, times, to_the_second=True)
    state.clocks = await find_clocks(database.query, tasks.table, times, tasks.zone)
    tasks = replace(tasks, clocks=state.clocks)
    for sql, params in (
        (tasks.assigned, tasks.within(now - 1, now, 1)),
        (tasks.now_of, tasks.about(now - 1, now, ["x"])),
    ):
        await refuse_large_scan(database.query, sql, params, tasks.created_at)
    # An index in blocks (BRIN) finds no newest row: then only near ones are looked through.
    root, *_ = await explain(database.query, tasks.clock, {"back": FARTHEST, "known": None})
    state.back = FARTHEST if root["Total Cost"] <= AFFORDABLE else options.window
    state.proved_at = context.monotonic()


# --- judgement ----------------------------------------------------------------------------------


def _judge(
    options: CrosscheckOptions, look: CrosscheckLook, ledgers: Mapping[str, SampleLedger]
) -> Finding:
    windows = {flow: ledgers[flow].window() for flow in FLOWS}
    doubt = CrosscheckDoubt(look.times.why, look.times.cure, look.times.is_blind)
    faults = find_crosscheck_faults(options.rules, ledgers, look.reasons, doubt)
    naive = [clock for clock in look.plan.statements.clocks.values() if clock.is_naive]
    zones = {"zones": [clock.describe() for clock in naive]} if naive else {}
    return Finding(
        judge(faults),
        _describe(options, look, ledgers, faults),
        rows=_rows(options, ledgers),
        evidence={
            "crosscheck": {flow: asdict(ledgers[flow].total) for flow in FLOWS},
            "window": {flow: asdict(windows[flow]) for flow in FLOWS},
            "producer_missing": ledgers[PUBLISHED].found[-SHOWN:],
            "acked_without_effect": ledgers[PROCESSED].found[-SHOWN:],
            "not_measurable": sorted(look.reasons)[:SHOWN],
            "remedies": {WORDS[flow]: REMEDIES[flow] for flow in FLOWS if windows[flow].bad},
            **zones,
        },
        guidance=faults[0].guidance if faults else "",
        key=("missing", f"{windows[PUBLISHED].bad} + {windows[PROCESSED].bad}"),
        faults=faults,
    )


def _describe(
    options: CrosscheckOptions,
    look: CrosscheckLook,
    ledgers: Mapping[str, SampleLedger],
    faults: Sequence[Fault],
) -> str:
    """One line: the worst fault, then the samples of the window in both directions."""
    news = [headline(faults)] if faults else []
    figures = "; ".join(_list_figures(look, ledgers))
    return "; ".join([*news, f"last {format_duration(options.window)}: {figures}"])


def _list_figures(look: CrosscheckLook, ledgers: Mapping[str, SampleLedger]) -> list[str]:
    windows = {flow: ledgers[flow].window() for flow in FLOWS}
    published, processed = windows.values()
    hidden = published.unmeasurable + processed.unmeasurable
    news = [f"{w.bad} of {w.samples} {WORDS[flow]}" for flow, w in windows.items() if w.bad]
    if not news and published.samples + processed.samples:
        news = [
            f"{published.samples} assigned tasks were published, {processed.samples} acknowledged"
            " ones worked on"
        ]
    if not news and not hidden:
        news = ["times can't be compared" if look.times.is_blind else "nothing to compare"]
    news += [f"{published.late} published late"] if published.late else []
    news += [f"{published.skewed} with skewed times"] if published.skewed else []
    news += [f"{published.arrivals} visible late"] if published.arrivals else []
    if hidden:
        why = f" ({min(look.reasons)})" if look.reasons else ""
        news.append(f"{hidden} not measurable{why}")
    return news


def _rows(options: CrosscheckOptions, ledgers: Mapping[str, SampleLedger]) -> list[Row]:
    """The two directions are two flows: each metric over its own samples is a share."""
    names = {PUBLISHED: "producer_missing", PROCESSED: "acked_without_effect"}
    rows = []
    for flow in FLOWS:
        total = ledgers[flow].total
        values = {
            names[flow]: float(total.bad),
            "samples": float(total.samples),
            "not_measurable": float(total.unmeasurable),
            "skewed": float(total.skewed),
            "late_arrivals": float(total.arrivals),
        }
        rows.append(Row({"flow": f"{options.flow}:{flow}"}, values))
    return rows


def _declare(name: str, metric: str, help_text: str) -> Measurement:
    return Measurement(name, help_text, f"sentinel_bus_{metric}_total", "counter", "", ("flow",))


KIND = Kind(
    name="bus_crosscheck",
    summary="samples tasks and messages: assigned but never published, acknowledged without effect",
    options=CrosscheckOptions,
    run=run,
    board="bus",
    resources={"bus": "redis", "database": "postgres"},
    load_state=CrosscheckState,
    patient=True,
    clocks=lambda state: state.clocks.values(),
    faults=(*CROSSCHECK_KINDS, *faults_of_target("bus-unreachable")),
    default_every=30.0,
    measurements=(
        _declare(
            "producer_missing",
            "producer_missing",
            "Sampled assigned tasks whose message is not on the bus",
        ),
        _declare(
            "acked_without_effect",
            "acked_without_effect",
            "Sampled acknowledged messages whose task never left its assigned status",
        ),
        _declare("samples", "crosscheck_samples", "Samples that were judged"),
        _declare("not_measurable", "crosscheck_not_measurable", "Samples that could not be judged"),
        _declare("skewed", "crosscheck_skewed", "Tasks with times of another zone or clock"),
        _declare(
            "late_arrivals",
            "crosscheck_late_arrivals",
            "Tasks that became visible after their range was read, at least",
        ),
    ),
    slis=(
        Sli(
            "consistent",
            "sampled tasks whose message was on the bus, and sampled messages that had an effect",
            (Term("samples"),),
            bad=(Term("producer_missing"), Term("acked_without_effect")),
        ),
    ),
    impact=(
        Impact(
            "assigned tasks whose message was missing",
            Section.INCIDENT,
            (Term("producer_missing"),),
            basis="of a sample",
        ),
        Impact(
            "acknowledged messages without effect",
            Section.INCIDENT,
            (Term("acked_without_effect"),),
            basis="of a sample",
        ),
    ),
)
