"""Kind `flows`: do the flows of one or several tables get on, or are they stuck, and what blocks
them?

Every table by a mapping of its columns. What is stuck is judged by sentinel's own history of each
flow, which survives a restart (measurement.md §5; platforms.md R11 to R14): a monitor that touches
updated_at moves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from pydantic import Field, model_validator

from sentinel.adapters.flows.queries import FlowTable, read_stays, select_stays
from sentinel.adapters.flows.reader import (
    FlowReading,
    FlowSource,
    Sheet,
    explain,
    prove_sources,
    read_crew_apart,
    read_flows,
)
from sentinel.adapters.postgres import Query
from sentinel.adapters.relation import Relation
from sentinel.core.fault import FaultKind, Severity
from sentinel.core.flows.dwell import DAY
from sentinel.core.flows.family import DISAGREEMENTS, MasterRules
from sentinel.core.flows.finding import REMEDIES, Reservations, make_finding
from sentinel.core.flows.history import History
from sentinel.core.flows.stuck import Crew, FlowRules, WorkOrder
from sentinel.core.flows.verdict import Families, TableRules, judge
from sentinel.core.model import Finding, Fold, Impact, Measurement, Section, Term
from sentinel.errors import TargetError, TargetRejected
from sentinel.probes import Context, Kind, Options, faults_of_target
from sentinel.strict.field import Duration

_PROVE_EVERY = 60.0


class Table(Options):
    """One table of flows: its columns, its statuses and what is normal. Statuses are compared
    without case.
    """

    table: str = Field(
        min_length=1, description="table of the flows, with its schema: public.flows"
    )
    id: str = Field("id", description="column with the identity of a flow")
    name: str | None = Field(
        None, description="column of the name by which people know a flow; texts read: name (id)"
    )
    type: str | None = Field(None, description="column with the type of a flow")
    flow_type: str = Field("flow", description="type of all flows, when no column tells it")
    status: str = Field(
        "status", description="column with the status; column->key->key reads from JSON"
    )
    progress: str | list[str] | None = Field(
        None,
        description=(
            "column with the progress, any number (also as text); two columns: done and total"
        ),
    )
    phase: str | None = Field(None, description="column with the phase")
    phases: list[str] = Field(
        [], description="phases in the order of work: going back is a regression"
    )
    phase_flags: list[str] = Field(
        [], description="boolean columns of the phases, in the order of work"
    )
    counters: list[str] = Field([], description="columns whose change is progress, too")
    created_at: str | None = Field("created_at", description="column with the time of creation")
    changed_at: str | None = Field(
        "updated_at", description="column with the time of the last change"
    )
    status_changed_at: str | None = Field(
        None, description="column with the time of the last change of status"
    )
    worker: str | None = Field(None, description="column with the worker")
    initial: str = Field("initialized", description="status of a flow that nobody has begun")
    active: list[str] = Field(
        [], description="statuses of work; when given, a status that nothing names is reported"
    )
    terminal: list[str] = Field(
        ["completed", "failed", "cancelled"], description="statuses of flows that are over"
    )
    waiting: list[str] = Field([], description="statuses that wait for people: never stuck")
    waiting_flags: list[str] = Field(
        [], description="boolean columns, or column->key in JSON, that say the same"
    )
    statuses: dict[str, str] = Field(
        {}, description="other spellings: text in the table, status that it means"
    )
    order: list[str] = Field(
        [], description="statuses in the order of work: going back is a regression"
    )
    overdue_after: Duration = Field(
        3600.0, description="longest stay in one status, while none is learned"
    )
    initial_overdue_after: Duration | None = Field(
        None, description="longest stay in the initial status"
    )
    overdue: dict[str, Duration] = Field(
        {}, description="longest stay by status; wins over what is learned"
    )
    no_progress_after: Duration | None = Field(
        1800.0, description="longest time without a change of progress"
    )
    no_worker_after: Duration | None = Field(
        None,
        description=(
            "longest time in a begun status without a worker; default: when the flow is overdue"
        ),
    )
    full: float | None = Field(
        100.0, description="progress at which a flow should be over; null: never judged"
    )

    def lower(self, names: Sequence[str]) -> frozenset[str]:
        """Canonical statuses."""
        return frozenset(name.lower() for name in names)

    @property
    def aliases(self) -> dict[str, str]:
        """Status text → canonical status, both in lower case."""
        return {text.lower(): meant.lower() for text, meant in self.statuses.items()}

    @property
    def is_mapped(self) -> bool:
        """Whether the configuration claims to name every status."""
        return bool(self.active or self.statuses)

    @property
    def known(self) -> frozenset[str]:
        """Every status that the configuration names."""
        named = [
            self.initial,
            *self.active,
            *self.terminal,
            *self.waiting,
            *self.order,
            *self.overdue,
        ]
        return self.lower([*named, *self.statuses.values()])

    @property
    def flow_table(self) -> FlowTable:
        """The columns; terminal texts are those of the table, before the mapping."""
        over, aliases = self.lower(self.terminal), self.aliases
        raw = {text for text in over if aliases.get(text, text) in over} | {
            t for t, to in aliases.items() if to in over
        }
        progress = [self.progress] if isinstance(self.progress, str) else self.progress or []
        return FlowTable(
            self.table,
            self.id,
            self.status,
            sorted(raw),
            self.type,
            self.worker,
            self.phase,
            self.created_at,
            self.changed_at,
            self.status_changed_at,
            progress,
            self.counters,
            self.phase_flags,
            self.waiting_flags,
            self.name,
        )

    @property
    def type_of_all(self) -> str | None:
        """The type of all flows; None when a column tells it."""
        return None if self.type is not None else self.flow_type or Relation.of(self.table).name

    @property
    def source(self) -> FlowSource:
        """What to read."""
        return FlowSource(
            self.table, self.flow_table, self.aliases, self.type_of_all, self.initial.lower()
        )

    def rules(self, options: FlowsOptions, crew: Crew | None) -> TableRules:
        """What is normal."""
        tracked = bool(self.progress or self.counters or self.phase_flags)
        limits = {name.lower(): seconds for name, seconds in self.overdue.items()}
        if self.initial_overdue_after is not None:
            limits = {self.initial.lower(): self.initial_overdue_after, **limits}
        rules = FlowRules(
            self.initial.lower(),
            WorkOrder(_rank(self.order), _rank(self.phases), self.initial.lower()),
            self.lower(self.waiting),
            self.no_progress_after if tracked else None,
            self.worker is not None,
            self.no_worker_after,
            self.full if self.progress else None,
            options.disagree_after,
            crew,
            self.phase_flags,
        )
        known = self.known if self.is_mapped else None
        label = self.table if len(options.tables) > 1 else ""
        name, static = self.source.name, self.overdue_after
        return TableRules(name, rules, limits, static, options.learn, known, label)


def _rank(names: Sequence[str]) -> dict[str, int]:
    return {name.lower(): n for n, name in enumerate(names)}


class Child(Table):
    """A table of children of the master table, or the master's own: then children are its rows that
    name a master.
    """

    flow_type: str = Field(
        "", description="type of all flows, when no column tells it; default: the table's name"
    )
    join: list[str] = Field(
        min_length=1, description="columns that name the master; the first that is not NULL counts"
    )
    master_key: str | None = Field(
        None, description="column of the master that they name; default: its id"
    )
    require_master: bool = Field(True, description="a child without a master is a disagreement")

    @property
    def source(self) -> FlowSource:
        """What to read; the master's key is filled in by the check."""
        name = f"{self.table} by {', '.join(self.join)}"
        key, initial = self.master_key or "", self.initial.lower()
        return FlowSource(
            name,
            self.flow_table,
            self.aliases,
            self.type_of_all,
            initial,
            self.join,
            key,
            self.require_master,
        )


class Workers(Options):
    """The registry of the workers."""

    table: str = Field(min_length=1, description="table or view of the workers, with its schema")
    id: str = Field("id", description="column of the worker's id")
    name: str | None = Field(
        None, description="column of the name by which people know a worker; texts read: name (id)"
    )
    status: str = Field("status", description="column of the worker's status")
    last_heartbeat: str = Field("last_heartbeat", description="column of the last heartbeat")
    ttl: Duration = Field(60.0, gt=0, description="a worker whose heartbeat is older is dead")
    sleeping: list[str] = Field(
        ["sleeping", "maintenance"], description="statuses of workers that may be silent"
    )


class Transitions(Options):
    """A table of transitions, from which normal stays are learned; without it they are learned by
    watching.
    """

    table: str = Field(
        min_length=1, description="table with one row per stay of a flow in a status"
    )
    flow: str = Field("flow_id", description="column with the flow")
    status: str = Field("status", description="column with the status that was entered")
    entered_at: str = Field("entered_at", description="column with the time of entry")
    left_at: str | None = Field(
        None, description="column with the time of leaving; default: the flow's next row"
    )


class FlowsOptions(Table):
    """Options of `flows`: the mapping of the only or master table, and what belongs to it."""

    resource: str | None = Field(None, description="PostgreSQL resource with the tables")
    children: list[Child] = Field([], description="tables of children of these flows")
    workers: Workers | None = Field(
        None, description="registry of the workers: dead and unknown ones are found"
    )
    transitions: Transitions | None = Field(
        None, description="table of transitions of this table's flows"
    )
    learn: bool = Field(
        True, description="learn the longest normal stay per type and status from 50 stays on"
    )
    disagree_after: Duration = Field(
        60.0, description="master and child, or progress and status, may differ so long"
    )
    waits_for_children: list[str] = Field(
        [],
        description=(
            "statuses in which a master only waits for its children; none: each but the initial one"
        ),
    )
    max_flows: int = Field(
        5000, gt=0, le=100_000, description="open flows to read per table, oldest first"
    )

    @model_validator(mode="after")
    def _maps_a_table_once(self) -> Self:
        for child in self.children:
            own = child.model_fields_set - {"table", "join", "master_key", "require_master"}
            if self.has_own(child) and own:
                raise ValueError(
                    f"{child.table} is the masters' table, whose mapping holds: drop"
                    f" {', '.join(sorted(own))}"
                )
        return self

    def has_own(self, child: Child) -> bool:
        """Whether children are rows of the master's own table."""
        return Relation.of(child.table) == Relation.of(self.table)

    @property
    def tables(self) -> list[Table]:
        """Each once, the master first."""
        return [self, *(child for child in self.children if not self.has_own(child))]

    @property
    def sources(self) -> list[FlowSource]:
        """What to read, the master first."""
        return [self.source, *map(self._source_of, self.children)]

    def _source_of(self, child: Child) -> FlowSource:
        key = child.master_key or self.id
        if not self.has_own(child):
            return replace(child.source, master_key=key)
        need, name = child.require_master, child.source.name
        return replace(
            self.source, name=name, join=child.join, master_key=key, need_master=need, is_own=True
        )

    @property
    def master_rules(self) -> MasterRules:
        """Statuses of masters."""
        return MasterRules(
            self.initial.lower(),
            self.lower(self.terminal),
            self.lower(self.waiting),
            self.lower(self.waits_for_children),
        )

    @property
    def reasons(self) -> list[str]:
        """Reasons that can be found with this configuration."""
        found = {"overdue", "no_progress", "regression", "no_exits"}
        found |= {"phase_order"} if any(table.phase_flags for table in self.tables) else set()
        found |= (
            {"full_but_open"}
            if any(table.progress and table.full for table in self.tables)
            else set()
        )
        found |= {"no_worker"} if any(table.worker for table in self.tables) else set()
        found |= {"worker_unknown", "worker_dead"} if self.workers else set()
        found |= set(DISAGREEMENTS) if self.children else set()
        return [reason for reason in REMEDIES if reason in found]


class FlowsState(History):
    """The history, and what is asked less often than every run; only the history survives a
    restart.
    """

    def __init__(self, document: Mapping[str, Any] | None = None) -> None:
        super().__init__(document)
        self.options: FlowsOptions | None = None
        self.sources: list[FlowSource] = []
        self.sheets: list[Sheet] = []
        self.proved_at = self.asked_at = float("-inf")

    def adopt(self, options: FlowsOptions) -> None:
        """Begin anew with everything that was read under other options."""
        if options != self.options:
            self.options, self.sources, self.proved_at = options, options.sources, float("-inf")
            self.forget_readings()

    async def close(self) -> None:
        """Nothing is held."""


async def run(options: FlowsOptions, context: Context) -> Finding:
    """Read the open flows of all tables in one snapshot, compare with what was before, judge."""
    state: FlowsState = context.state
    state.adopt(options)
    try:
        reading, crew = await _read(options, state, context)
    except TargetRejected as error:
        raise explain(error) from error
    complete = len(reading.families) == len(options.children)
    families = Families(options.master_rules, reading.families, options.disagree_after, complete)
    rules = [table.rules(options, crew) for table in options.tables]
    verdict = judge(state, reading.looks, rules, families, reading.now)
    saw_all = all(look is None or look.saw_all for look in reading.looks)
    left_out = Reservations(None if saw_all else options.max_flows, reading.troubles)
    return make_finding(state, verdict, options.reasons, left_out)


async def _read(
    options: FlowsOptions, state: FlowsState, context: Context
) -> tuple[FlowReading, Crew | None]:
    """All of it in one snapshot."""
    async with context.postgres().snapshot() as query:
        if context.monotonic() - state.proved_at >= _PROVE_EVERY:
            state.sheets = await _prove(query, state)
            state.proved_at = context.monotonic()
        await _ask_stays(query, options, state, context.monotonic())
        crew = await _read_crew(query, options)
        reading = await read_flows(query, state.sources, state.sheets, state, options.max_flows)
    if isinstance(crew, TargetError):
        reading.troubles["workers"] = (crew.message, crew.guidance)
        return reading, None
    return reading, crew


async def _prove(query: Query, state: FlowsState) -> list[Sheet]:
    """Prove all tables again; what was read of their lines stays known where the statements are the
    same.
    """
    sheets = await prove_sources(query, state.sources)
    for new, old in zip(sheets, state.sheets, strict=False):
        if new.statements == old.statements:
            new.rows, new.kin, new.done = old.rows, old.kin, old.done
    return sheets


async def _read_crew(query: Query, options: FlowsOptions) -> Crew | TargetError | None:
    workers = options.workers
    if workers is None:
        return None
    columns = workers.model_dump(include={"id", "name", "status", "last_heartbeat"})
    return await read_crew_apart(query, workers.table, columns, workers.sleeping, workers.ttl)


async def _ask_stays(query: Query, options: FlowsOptions, state: FlowsState, now: float) -> None:
    """Once a day: completed stays from the table of transitions."""
    if options.transitions is None or not options.learn or now - state.asked_at < DAY:
        return
    for row in await query(select_stays(options.transitions.model_dump(), options.flow_table)):
        status = row["status"] or ""
        pair = (options.type_of_all or row["type"] or "", options.aliases.get(status, status))
        stays = read_stays(row)
        if pair not in state.told or stays.n > state.told[pair].n:
            state.told[pair] = stays
    state.asked_at = now


_BY_STATUS = ("flow_type", "status")
_FLOW = ("table", "flow")


def _declare(
    key: str,
    meaning: str,
    parameters: tuple[str, ...] = _FLOW,
    severity: Severity = Severity.TICKET,
) -> FaultKind:
    return FaultKind(key, severity, "flows-stuck", meaning, parameters)


FAULTS = (
    _declare("overdue", "longer in its status than is normal"),
    _declare("no_progress", "no value of its row changes"),
    _declare("regression", "progress, status or phase went back"),
    _declare("phase_order", "a later phase is done before an earlier one"),
    _declare("full_but_open", "its progress is full, its status is not over"),
    _declare("no_worker", "begun, and nobody works on it"),
    _declare("worker_unknown", "its worker is not registered", (*_FLOW, "agent")),
    _declare("worker_dead", "its worker has no heartbeat", (*_FLOW, "agent")),
    _declare("no_exits", "flows enter a status and none leaves it", (), Severity.PAGE),
    _declare("master_initialized", "a child works, its master was never told"),
    _declare("master_finished", "the master is over, its child goes on"),
    _declare("child_finished", "every child is over, the master waits on"),
    _declare("no_master", "a child without a master"),
    FaultKind("unmapped_status", Severity.TICKET, "sentinel-blind", "a status that nobody mapped"),
    FaultKind("unjudged", Severity.TICKET, "sentinel-blind", "a table that can't be read"),
    *faults_of_target("database-unreachable", rejected="database-degraded"),
)

KIND = Kind(
    name="flows",
    summary=(
        "Flows of one or several tables: overdue, without progress, going backwards, blocked, at"
        " odds"
    ),
    options=FlowsOptions,
    run=run,
    resources={"resource": "postgres"},
    load_state=FlowsState,
    default_every=30.0,
    faults=FAULTS,
    measurements=(
        Measurement("open", "Open flows", "sentinel_flow_open", labels=_BY_STATUS),
        Measurement(
            "stuck", "Stuck flows by reason", "sentinel_flow_stuck", labels=(*_BY_STATUS, "reason")
        ),
        Measurement(
            "oldest_age_seconds",
            "Longest time that a flow has been in this status, at least",
            "sentinel_flow_oldest_age_seconds",
            unit="seconds",
            labels=_BY_STATUS,
        ),
        Measurement(
            "stuck_threshold",
            "Longest normal stay: configured, else learned from completed stays, else"
            " overdue_after",
            "sentinel_flow_stuck_threshold_seconds",
            unit="seconds",
            labels=_BY_STATUS,
        ),
        Measurement(
            "transitions",
            "Changes of status that were seen; of several between two looks only the sum",
            "sentinel_flow_transitions_total",
            "counter",
            labels=("flow_type", "from", "to"),
        ),
        Measurement(
            "regressions",
            "Times that progress, status or phase went back",
            "sentinel_flow_regressions_total",
            "counter",
            labels=("flow_type", "kind"),
        ),
        Measurement(
            "dwell",
            "Completed stays in a status; at most one interval too long, where no column tells the"
            " entry",
            "sentinel_flow_dwell_seconds",
            "histogram",
            "seconds",
            _BY_STATUS,
        ),
    ),
    impact=(
        Impact(
            "times that a flow went back", Section.INCIDENT, (Term("regressions", sparse=True),)
        ),
        Impact("open flows", Section.WORK, (Term("open", sparse=True),), fold=Fold.SUM),
        Impact(
            "stuck flows",
            Section.WORK,
            (Term("stuck", sparse=True),),
            fold=Fold.SUM,
            basis="a flow that is stuck for two reasons counts for both",
        ),
        Impact("changes of status", Section.WORK, (Term("transitions", sparse=True),)),
    ),
)
