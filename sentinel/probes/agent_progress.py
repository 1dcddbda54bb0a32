"""Kind `agent_progress`: agents that live and get nowhere.

Heartbeats and output are no progress. Found are agents that hold open work and finish nothing, that
take the same step again and again, and that spend tokens or money without a change of status.
Sleeping agents are silent by right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from sentinel.adapters.agents.progress_queries import (
    StepStream,
    read_stream_steps,
    select_agents,
    select_steps,
    select_tasks,
)
from sentinel.adapters.agents.queries import Clocks
from sentinel.adapters.columns import find_clocks, prove_columns
from sentinel.adapters.postgres import PostgresClient, Record
from sentinel.adapters.relation import Relation, Statement, prove_visible, refuse_large_scan
from sentinel.core.agents.census import Beats, Census, CensusRules, Vitals, has_fresh_beat
from sentinel.core.agents.progress import (
    AgentSight,
    AgentStep,
    ProgressRules,
    dump_memory,
    load_memory,
    remember,
)
from sentinel.core.agents.pulse import Pulse
from sentinel.core.agents.skewed import SKEWED_AGENTS, UNTOLD_CLOCK
from sentinel.core.agents.standstill import ProgressDoubts, judge_progress
from sentinel.core.fault import FaultKind, Severity
from sentinel.core.model import Finding, Fold, Impact, Measurement, Section, Term
from sentinel.core.moment.arrival import NewestTime
from sentinel.core.moment.skew import Basis, ColumnClock, tell_cure, tell_skew
from sentinel.core.quantity import is_true, read_number
from sentinel.errors import NotMeasurable, SubjectError
from sentinel.probes import Context, Kind, Options, faults_of_target
from sentinel.strict.field import ZONE, Duration, Zone
from sentinel.watch.progress_mapping import AgentTasks, StepEntries, StepTable, TableShape

_PROVE_EVERY = 60.0


class ProgressOptions(Options):
    """Options of `agent_progress`. Statuses are compared without regard to case."""

    database: str | None = Field(None, description="PostgreSQL resource with the agents")
    bus: str | None = Field(None, description="Redis resource with the stream of steps")
    table: str = Field(
        "agents", min_length=1, description="table or view of agents, with its schema"
    )
    id: str = Field("id", description="column of the agent's id")
    name: str | None = Field(
        None, description="column of the name by which people know it; texts read: name (id)"
    )
    status: str | None = Field(
        "status", description="column of the status; null when there is none"
    )
    active: list[str] = Field(
        [], description="statuses of work; when given, a status that nothing names is reported"
    )
    sleeping: list[str] = Field(
        ["sleeping", "maintenance", "paused"], description="statuses that are silent by right"
    )
    inactive: list[str] = Field(
        ["inactive", "error", "shutting_down", "offline", "stopped"],
        description="statuses that are not judged here",
    )
    last_heartbeat: str | None = Field(
        None, description="column of the last heartbeat: the dead are not judged here"
    )
    zone: Zone | None = Field(None, description=ZONE)
    ttl: Duration = Field(60.0, gt=0, description="an agent whose heartbeat is older is dead")
    open_work: str | None = Field(
        None, description="column with the number of open tasks, or with the current task"
    )
    tasks: AgentTasks | None = Field(None, description="the task table")
    counters: list[str] = Field([], description="columns whose change is progress")
    spend: list[str] = Field([], description="columns with totals of tokens or cost")
    steps: StepTable | None = Field(None, description="table of steps")
    stream: StepEntries | None = Field(None, description="stream of steps, in place of a table")
    stalled_after: Duration = Field(
        1800.0, gt=0, description="longest time with open work and without progress"
    )
    spending_after: Duration = Field(
        1800.0, gt=0, description="longest time of spending without progress"
    )
    spending_limit: float | None = Field(
        None, gt=0, description="most that may be spent without progress at all"
    )
    repeats: int = Field(
        10, ge=2, le=200, description="so many times the same step in a row is a loop"
    )
    longest_cycle: int = Field(
        1, ge=1, le=5, description="steps of a loop: 2 also finds A, B, A, B"
    )
    max_agents: int = Field(5000, gt=0, le=20_000, description="agents to read")

    @property
    def rules(self) -> ProgressRules:
        """What is normal."""
        limit = self.spending_limit
        return ProgressRules(
            self.stalled_after, self.spending_after, limit, self.repeats, self.longest_cycle
        )

    @property
    def shape(self) -> TableShape:
        """What the table of agents must have."""
        columns = [self.id, self.name, self.status, self.open_work, *self.counters, *self.spend]
        return TableShape(self.table, columns, [self.last_heartbeat], self.id, self.zone)

    @property
    def step_count(self) -> int:
        """Steps to read per agent: one more repetition than needed, so that a longer loop shows."""
        return (self.repeats + 1) * self.longest_cycle

    @property
    def shapes(self) -> dict[str, TableShape]:
        """What each table must have, by name: agents, tasks, steps."""
        parts = {"agents": self, "tasks": self.tasks, "steps": self.steps}
        return {name: part.shape for name, part in parts.items() if part is not None}

    def statement(self, name: str, clocks: Clocks) -> Statement:
        """What to ask of one of the tables, its times read by these clocks."""
        if name == "tasks" and (tasks := self.tasks) is not None:
            columns = tasks.model_dump(include={"agent", "status", "created_at", "finished_at"})
            statuses = {"open": tasks.open, "finished": tasks.finished}
            return select_tasks(tasks.table, columns, statuses, tasks.lookback, clocks)
        if name == "steps" and (steps := self.steps) is not None:
            columns = steps.model_dump(include={"agent", "step", "at"})
            return select_steps(steps.table, columns, self.step_count, steps.lookback, clocks)
        columns = self.model_dump(include={"id", "name", "status", "last_heartbeat", "open_work"})
        limit = self.max_agents + 1
        return select_agents(self.table, columns, self.counters, self.spend, limit, clocks)

    def is_in_service(self, row: Record) -> bool:
        """Whether an agent's status says that it works."""
        status, active = row["status"] or "", {text.lower() for text in self.active}
        silent = {text.lower() for text in [*self.sleeping, *self.inactive]}
        return status in active if active else status not in silent

    def is_mapped(self, status: str) -> bool:
        """Whether the configuration names the status, or does not claim to name all."""
        named = {text.lower() for text in [*self.active, *self.sleeping, *self.inactive]}
        return not self.active or status in named


class ProgressState:
    """The memory of every agent that is in the table; survives a restart. Heartbeats, the newest
    times of other columns, and what was asked of the catalog do not.
    """

    def __init__(self, document: Mapping[str, Any] | None = None) -> None:
        self.agents = {name: load_memory(memory) for name, memory in (document or {}).items()}
        self.proved: tuple[float, Any] = (float("-inf"), None)
        self.troubles: dict[str, SubjectError] = {}
        self.clocks: dict[str, Clocks] = {}
        self.pulse = Pulse()
        self.newest = {"tasks": NewestTime(), "steps": NewestTime()}

    def clock(self, part: str, column: str | None) -> ColumnClock | None:
        """The clock of one column."""
        return self.clocks.get(part, {}).get(column or "")

    def dump(self) -> Any:
        """JSON-able document."""
        return {name: dump_memory(memory) for name, memory in self.agents.items()}

    async def close(self) -> None:
        """Holds nothing."""


async def run(options: ProgressOptions, context: Context) -> Finding:
    """Read agents, tasks and steps; compare with what was before; judge."""
    state: ProgressState = context.state
    client = context.postgres("database")
    await _prove(options, client, context)
    troubles = dict(state.troubles)
    steps = await _read_stream(options, context, troubles)
    rows = await _read_rows(options, client, state, troubles)
    _screen(options, state, rows, troubles)
    vitals = _feel_pulse(options, state, rows["agents"])
    sights = _read_sights(options, rows, steps, vitals)
    known = {sight.id: remember(state.agents.get(sight.id), sight) for sight in sights}
    unsure = _find_unsure(options, rows["agents"], vitals)
    # Who can't be told awake is not judged, and loses nothing of what was known before.
    state.agents = {name: each for name, each in state.agents.items() if name in unsure} | known
    statuses = [row["status"] or "" for row in rows["agents"]]
    unmapped = Counter(status for status in statuses if not options.is_mapped(status))
    told = {part: (error.message, error.guidance) for part, error in troubles.items()}
    limit = options.max_agents if len(rows["agents"]) > options.max_agents else None
    clock = state.clock("agents", options.last_heartbeat) or UNTOLD_CLOCK
    naive = [each for part in state.clocks.values() for each in part.values() if each.is_naive]
    now = rows["agents"][0]["now"] if rows["agents"] else 0.0
    doubts = ProgressDoubts(unmapped, told, limit, unsure, clock, options.ttl, now, naive)
    return judge_progress(sights, state.agents, options.rules, doubts)


async def _read_rows(
    options: ProgressOptions,
    client: PostgresClient,
    state: ProgressState,
    troubles: Mapping[str, SubjectError],
) -> dict[str, list[Record]]:
    """The rows of each table that can be read, in one snapshot."""
    asked = {
        name: options.statement(name, state.clocks.get(name, {}))
        for name in options.shapes
        if name not in troubles
    }
    async with client.snapshot() as query:
        return {
            name: await query(statement.sql, dict(statement.params))
            for name, statement in asked.items()
        }


# --- times of others ------------------------------------------------------------------------------


def _feel_pulse(options: ProgressOptions, state: ProgressState, rows: Sequence[Record]) -> Vitals:
    """Who beats, by the clock of the server; a beat of another clock or zone by its change."""
    now = rows[0]["now"] if rows else 0.0
    at = {row["id"]: row["beat"] for row in rows if row["beat"] is not None}
    clock = state.clock("agents", options.last_heartbeat) or UNTOLD_CLOCK
    census = Census(now=now, beats=Beats(at, now, basis=clock.basis, zone=clock.zone))
    return state.pulse.see(census, CensusRules(ttl=options.ttl))


def _find_unsure(
    options: ProgressOptions, rows: Sequence[Record], vitals: Vitals
) -> dict[str, float]:
    """Agents in service of whom nobody can tell whether they are awake."""
    serving = {row["id"] for row in rows if options.is_in_service(row)}
    return {name: ahead for name, ahead in vitals.unsure.items() if name in serving}


def _screen(
    options: ProgressOptions,
    state: ProgressState,
    rows: dict[str, list[Record]],
    troubles: dict[str, SubjectError],
) -> None:
    """Steps and ends of tasks whose times are of another clock or zone prove no order of events:
    steps are left out then, ends are, and both are told.
    """
    now = rows["agents"][0]["now"] if rows["agents"] else None
    for part, field in (("steps", "at"), ("tasks", "last_finish")):
        times = [row[field] for row in rows.get(part, ()) if row[field] is not None]
        column = options.shapes[part].times[-1] if part in options.shapes else None
        clock = state.clock(part, column)
        if now is None or clock is None:
            continue
        off = state.newest[part].see(max(times, default=None), now, clock.zone)
        if clock.basis is Basis.DISAGREED or off is not None:
            why = clock.describe() if off is None else tell_skew(clock, off, now)
            what = "steps" if part == "steps" else "times of finished tasks"
            troubles[what] = SubjectError(why, tell_cure(clock))
            kept = rows[part] if part == "tasks" else []
            rows[part] = [{**row, "last_finish": None} for row in kept]


# --- reading --------------------------------------------------------------------------------------


async def _read_stream(
    options: ProgressOptions, context: Context, troubles: dict[str, SubjectError]
) -> dict[str, tuple[AgentStep, ...]]:
    """Steps by agent; a stream that is none is a trouble of its own, and the agents are judged
    without it.
    """
    stream = options.stream
    if stream is None:
        return {}
    if "bus" not in context.clients:
        raise NotMeasurable("no Redis resource for the stream of steps", "name one as bus")
    place = StepStream(stream.key, stream.agent, stream.step, stream.entries)
    try:
        return await read_stream_steps(context.redis("bus"), place, options.step_count)
    except SubjectError as error:
        troubles["stream"] = error
        return {}


async def _prove(options: ProgressOptions, client: PostgresClient, context: Context) -> None:
    """Once a minute: do we see the rows, by which clock are their times written, can the tables be
    polled? Raises with the remedy.

    What is wrong with the tables of tasks and steps alone is kept as a trouble: agents are judged
    without them.
    """
    state: ProgressState = context.state
    at, proved = state.proved
    if proved == options and context.monotonic() - at < _PROVE_EVERY:
        return
    state.troubles, state.clocks = {}, {}
    for name, shape in options.shapes.items():
        try:
            state.clocks[name] = await _prove_table(options, client, name, shape)
        except SubjectError as error:
            if name == "agents":
                raise
            state.troubles[name] = error
    state.proved = (context.monotonic(), options)


async def _prove_table(
    options: ProgressOptions, client: PostgresClient, name: str, shape: TableShape
) -> Clocks:
    await prove_visible(client.query, Relation.of(shape.table))
    await prove_columns(client.query, shape.table, shape.columns, shape.times)
    clocks = await find_clocks(client.query, shape.table, shape.times, shape.zone)
    statement = options.statement(name, clocks)
    await refuse_large_scan(client.query, statement.sql, dict(statement.params), shape.indexed)
    return clocks


def _read_sights(
    options: ProgressOptions,
    rows: Mapping[str, Sequence[Record]],
    steps: Mapping[str, tuple[AgentStep, ...]],
    vitals: Vitals,
) -> list[AgentSight]:
    """Every agent of whom can be told whether it is awake."""
    tasks = {row["agent"]: row for row in rows.get("tasks", ())}
    taken: dict[str, list[AgentStep]] = {}
    for row in rows.get("steps", ()):
        taken.setdefault(row["agent"], []).append(AgentStep(row["digest"], row["text"], row["at"]))
    return [
        _read_sight(
            options,
            row,
            tasks.get(row["id"]),
            tuple(taken.get(row["id"], steps.get(row["id"], ()))),
            vitals,
        )
        for row in rows["agents"][: options.max_agents]
        if row["id"] not in vitals.unsure or not options.is_in_service(row)
    ]


def _read_sight(
    options: ProgressOptions,
    row: Record,
    tasks: Record | None,
    steps: tuple[AgentStep, ...],
    vitals: Vitals,
) -> AgentSight:
    beats = has_fresh_beat(row["id"], CensusRules(ttl=options.ttl), vitals)
    work = _count_work(row["open"]) + (tasks["open"] if tasks else 0)
    return AgentSight(
        id=row["id"],
        status=row["status"] or "",
        now=row["now"],
        is_awake=options.is_in_service(row) and (options.last_heartbeat is None or beats),
        open=work,
        counters=tuple(text or "" for text in row["counters"]),
        finished=tasks["finished"] if tasks else 0,
        last_finish=tasks["last_finish"] if tasks else None,
        spent=tuple(read_number(text) for text in row["spend"]),
        steps=steps,
        name=row["name"] or "",
    )


def _count_work(text: str | None) -> int:
    """A number of tasks; a boolean; or the name of the current task, which is one."""
    if text is None or not text.strip():
        return 0
    number = read_number(text)
    if number is not None:
        return max(0, int(number))
    return int(
        is_true(text) or text.strip().lower() not in {"false", "f", "no", "none", "null", "idle"}
    )


_AGENT = ("agent",)
_RUNBOOK = "agent-no-progress"
FAULTS = (
    FaultKind(
        "no_progress", Severity.TICKET, _RUNBOOK, "holds open work and finishes nothing", _AGENT
    ),
    FaultKind(
        "repeated_step", Severity.TICKET, _RUNBOOK, "takes the same step again and again", _AGENT
    ),
    FaultKind("spending", Severity.TICKET, _RUNBOOK, "spends without a change of status", _AGENT),
    FaultKind("unmapped_status", Severity.TICKET, "sentinel-blind", "a status that no list names"),
    FaultKind("unjudged", Severity.TICKET, "sentinel-blind", "tasks or steps that can't be read"),
    SKEWED_AGENTS,
    *faults_of_target("database-unreachable", rejected="database-degraded"),
)

KIND = Kind(
    name="agent_progress",
    summary=(
        "agents that live and get nowhere: no progress, the same step again, spending without"
        " result"
    ),
    options=ProgressOptions,
    run=run,
    board="agents",
    resources={"database": "postgres", "bus": "redis?"},
    load_state=ProgressState,
    patient=True,
    clocks=lambda state: [each for part in state.clocks.values() for each in part.values()],
    default_every=30.0,
    faults=FAULTS,
    measurements=(
        Measurement(
            "stalled",
            "Agents that live and get nowhere",
            "sentinel_agent_stalled",
            labels=("reason",),
        ),
        Measurement(
            "working", "Agents that are awake and hold open work", "sentinel_agent_working"
        ),
        Measurement(
            "longest_wait",
            "Longest time that an agent has held open work without progress, as far as sentinel has"
            " seen",
            "sentinel_agent_no_progress_longest_seconds",
            unit="seconds",
        ),
    ),
    impact=(
        Impact("agents at work", Section.WORK, (Term("working"),), fold=Fold.SUM),
        Impact("agents that get nowhere", Section.WORK, (Term("stalled"),), fold=Fold.SUM),
    ),
)
