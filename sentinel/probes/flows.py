"""Kind `flows`: do the flows of one or several tables get on, or are they stuck, and what blocks
them?

Every table by a mapping of its columns. What is stuck is judged by sentinel's own history of each
flow, which survives a restart (measurement.md §5; platforms.md R11 to R14): a monitor that touches
updated_at moves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from sentinel.adapters.flows.reader import (
    FlowReading,
    Sheet,
    apart,
    explain,
    prove_sources,
    read_crew_apart,
    read_flows,
)
from sentinel.adapters.flows.stays import read_stays
from sentinel.adapters.flows.table import LOG_BYTES, FlowSource
from sentinel.adapters.postgres import Query
from sentinel.adapters.relation import Relation
from sentinel.core.fault import FaultKind, Severity
from sentinel.core.flows.beat import BeatWatch
from sentinel.core.flows.clock import TimeColumns
from sentinel.core.flows.dwell import DAY, LEAST_ALARMS
from sentinel.core.flows.family import DISAGREEMENTS, MasterRules
from sentinel.core.flows.finding import REMEDIES, Reservations, make_finding
from sentinel.core.flows.history import IN_TIME, History
from sentinel.core.flows.lasting import DIFFER, Families
from sentinel.core.flows.skewed import SKEWED
from sentinel.core.flows.stuck import Crew, FlowRules
from sentinel.core.flows.table import TableRules
from sentinel.core.flows.tenancy import FALLBACK, FOREIGN, MISSING, normalise_tenant
from sentinel.core.flows.verdict import judge
from sentinel.core.model import Finding, Fold, Impact, Measurement, Section, Sli, Term
from sentinel.errors import TargetError, TargetRejected
from sentinel.probes import Context, Kind, Options, faults_of_target
from sentinel.strict.field import Duration, refusal
from sentinel.watch.flow_mapping import OF_JOIN, ChildMapping, TableMapping, lower
from sentinel.watch.flow_neighbours import FlowWorkers, Transitions

_PROVE_EVERY = 60.0


def _is_budget(alarms: float) -> float:
    if not LEAST_ALARMS <= alarms <= 100:
        raise refusal(
            "must be from 7/30 to 100: a limit is learned from 30 days, and these hold at least one",
            "write 0.25 or more; without any alarm from learned limits: `learn: false`",
        )
    return alarms


class FlowsOptions(TableMapping, Options):
    """Options of `flows`: the mapping of the only or master table, and what belongs to it."""

    resource: str | None = Field(None, description="PostgreSQL resource with the tables")
    children: list[ChildMapping] = Field([], description="tables of children of these flows")
    workers: FlowWorkers | None = Field(
        None, description="registry of the workers: dead and unknown ones are found"
    )
    transitions: Transitions | None = Field(
        None, description="table of transitions of this table's flows"
    )
    learn: bool = Field(
        True,
        description=(
            "learn the longest normal stay per type and status; until there are enough completed"
            " stays, the configured limit holds"
        ),
    )
    alarms_per_week: Annotated[float, AfterValidator(_is_budget)] = Field(
        1.0,
        description=(
            "false alarms a week of each type and status that a learned limit may cost; at least"
            " one in the 30 days that are learned from (7/30), never more than 1 in 100 stays"
        ),
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
    fallback_tenants: list[str] = Field(
        [], description="tenants of nobody, that flows get when theirs is not known"
    )
    max_flows: int = Field(
        5000, gt=0, le=100_000, description="open flows to read per table, oldest first"
    )

    @model_validator(mode="after")
    def _maps_a_table_once(self) -> Self:
        for child in self.children:
            mine = self.has_own(child)
            own = child.model_fields_set - OF_JOIN
            if mine and own:
                raise ValueError(
                    f"{child.table} is the masters' table, whose mapping holds: drop"
                    f" {', '.join(sorted(own))}"
                )
            mapping, when = self if mine else child, child.begun_when
            if when is not None and when.progress is not None and mapping.progress is None:
                raise ValueError("begun_when.progress: name the column of it in progress")
        return self

    @model_validator(mode="after")
    def _asks_for_tenants_that_it_reads(self) -> Self:
        if self.fallback_tenants and not any(table.tenant for table in self.tables):
            raise ValueError("fallback_tenants: name the column of the tenant in tenant")
        return self

    def has_own(self, child: ChildMapping) -> bool:
        """Whether children are rows of the master's own table."""
        return Relation.of(child.table) == Relation.of(self.table)

    @property
    def tables(self) -> list[TableMapping]:
        """Each once, the master first."""
        return [self, *(child for child in self.children if not self.has_own(child))]

    @property
    def sources(self) -> list[FlowSource]:
        """What to read, the master first."""
        flags = [
            name
            for child in self.children
            if self.has_own(child) and child.begun_when is not None
            for name in child.begun_when.flags
        ]
        own = replace(self.source, table=replace(self.source.table, begun=sorted(set(flags))))
        return [
            replace(each, table=replace(each.table, log_bytes=self._log_bytes))
            for each in (own, *(self._source_of(child, own) for child in self.children))
        ]

    @property
    def _log_bytes(self) -> int:
        """However many flows are read, their logs fit into memory."""
        return min(LOG_BYTES, _LOGS // self.max_flows)

    def _source_of(self, child: ChildMapping, own: FlowSource) -> FlowSource:
        key = child.master_key or self.id
        if not self.has_own(child):
            return replace(child.source, master_key=key)
        return replace(
            own,
            name=child.source.name,
            join=child.join,
            master_key=key,
            need_master=child.require_master,
            is_own=True,
            signs=child.signs_of(self),
            rows=child.rows_of_work,
        )

    def rules(
        self, table: TableMapping, crew: Crew | None, clocks: Mapping[str, TimeColumns]
    ) -> TableRules:
        """What is normal in one of the tables; `clocks`: of its times, by the name of its source."""
        rules = FlowRules(
            table.initial.lower(),
            table.work_order,
            lower(table.waiting),
            table.no_progress_after if table.is_tracked else None,
            table.worker is not None,
            table.no_worker_after,
            table.full if table.progress else None,
            self.disagree_after,
            crew,
            table.phase_flags,
            lower(table.terminal),
        )
        return TableRules(
            table.source.name,
            rules,
            table.limits,
            table.overdue_after,
            self.learn,
            table.known if table.is_mapped else None,
            table.table if len(self.tables) > 1 else "",
            self.alarms_per_week,
            None if table.second_status is None else table.second_status.rules,
            table.tenant is not None,
            table.show,
            clocks.get(table.source.name, TimeColumns()),
        )

    @property
    def master_rules(self) -> MasterRules:
        """Statuses of masters."""
        return MasterRules(
            self.initial.lower(),
            lower(self.terminal),
            lower(self.waiting),
            lower(self.waits_for_children),
        )

    @property
    def reasons(self) -> list[str]:
        """Reasons that can be found with this configuration."""
        found = {"overdue", "no_progress", "regression", "no_exits"}
        flagged = any(table.phase_flags or table.phase_log for table in self.tables)
        found |= {"phase_order"} if flagged else set()
        twofold = any(table.second_status for table in self.tables)
        found |= {"second_overdue", DIFFER} if twofold else set()
        owned = any(table.tenant for table in self.tables)
        found |= {MISSING} if owned else set()
        found |= {FALLBACK} if self.fallback_tenants else set()
        found |= {FOREIGN} if owned and self.children else set()
        found |= (
            {"full_but_open"}
            if any(table.progress and table.full for table in self.tables)
            else set()
        )
        found |= {"no_worker"} if any(table.worker for table in self.tables) else set()
        found |= {"worker_unknown", "worker_dead"} if self.workers else set()
        found |= set(DISAGREEMENTS) if self.children else set()
        return [reason for reason in REMEDIES if reason in found]


_LOGS = 80 * 2**20
"""Bytes of all logs of phases of one table."""


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
        self.no_stays: TargetError | None = None
        self.beats = BeatWatch()

    def adopt(self, options: FlowsOptions) -> None:
        """Begin anew with everything that was read under other options."""
        if options != self.options:
            self.options, self.sources, self.sheets = options, options.sources, []
            self.proved_at = self.asked_at = float("-inf")
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
    families = Families(
        options.master_rules,
        reading.families,
        options.disagree_after,
        complete,
        frozenset(map(normalise_tenant, options.fallback_tenants)),
    )
    named = zip(state.sources, state.sheets, strict=True)
    clocks = {source.name: sheet.columns for source, sheet in named}
    rules = [options.rules(table, crew, clocks) for table in options.tables]
    verdict = judge(state, reading.looks, rules, families, reading.now)
    saw_all = all(look is None or look.saw_all for look in reading.looks)
    limit = None if saw_all else options.max_flows
    left_out = Reservations(limit, reading.troubles, crew)
    return make_finding(state, verdict, options.reasons, left_out)


async def _read(
    options: FlowsOptions, state: FlowsState, context: Context
) -> tuple[FlowReading, Crew | None]:
    """All of it in one snapshot."""
    async with context.postgres().snapshot() as query:
        if context.monotonic() - state.proved_at >= _PROVE_EVERY:
            state.sheets = await _prove(query, state)
            state.proved_at = context.monotonic()
        no_stays = await _ask_stays(query, options, state, context.monotonic())
        crew = await _read_crew(query, options, state)
        reading = await read_flows(query, state.sources, state.sheets, state, options.max_flows)
    if no_stays is not None:
        reading.troubles["transitions"] = (no_stays.message, no_stays.guidance)
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


async def _read_crew(
    query: Query, options: FlowsOptions, state: FlowsState
) -> Crew | TargetError | None:
    if options.workers is None:
        return None
    return await read_crew_apart(query, options.workers.source, state.beats)


async def _ask_stays(
    query: Query, options: FlowsOptions, state: FlowsState, now: float
) -> TargetError | None:
    """Once a day: completed stays from the table of transitions. What is wrong with that table
    alone is the value; then limits are learned by watching.
    """
    events = options.transitions
    if events is None or not options.learn or now - state.asked_at < DAY:
        return state.no_stays
    state.asked_at = now
    found = await apart(query, partial(read_stays, query, events.model_dump(), options.flow_table))
    state.told, state.no_stays = {}, found if isinstance(found, TargetError) else None
    for (type_, status), stays in () if isinstance(found, TargetError) else found.items():
        pair = (options.type_of_all or type_, options.aliases.get(status, status))
        if pair not in state.told or stays.n > state.told[pair].n:
            state.told[pair] = stays
    return state.no_stays


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
    _declare("second_overdue", "longer in its second status than is normal"),
    _declare(DIFFER, "its two columns of status contradict each other"),
    FaultKind(MISSING, Severity.TICKET, "flows-tenant", "a flow without a tenant", _FLOW),
    FaultKind(FALLBACK, Severity.TICKET, "flows-tenant", "its tenant is a fallback", _FLOW),
    FaultKind(
        FOREIGN, Severity.PAGE, "flows-tenant", "a child under a master of another tenant", _FLOW
    ),
    FaultKind(
        "unreadable_phase",
        Severity.TICKET,
        "sentinel-blind",
        "a column of phases whose values are not what the mapping says",
        ("table", "column"),
    ),
    FaultKind(
        SKEWED,
        Severity.TICKET,
        "sentinel-blind",
        "times of another zone or clock: nobody can tell who is overdue, or who lives",
    ),
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
    board="flows",
    resources={"resource": "postgres"},
    load_state=FlowsState,
    patient=True,
    default_every=30.0,
    faults=FAULTS,
    measurements=(
        Measurement("open", "Open flows", "sentinel_flow_open", labels=_BY_STATUS),
        Measurement(
            "stuck", "Stuck flows by reason", "sentinel_flow_stuck", labels=(*_BY_STATUS, "reason")
        ),
        Measurement(
            "skewed",
            "Open flows whose times are of another zone or clock",
            "sentinel_flow_skewed",
            labels=_BY_STATUS,
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
            "stays",
            "Completed stays of 30 days, from which a limit is learned",
            "sentinel_flow_stays",
            labels=_BY_STATUS,
        ),
        Measurement(
            "stays_needed",
            "Completed stays without which no limit is learned",
            "sentinel_flow_stays_needed",
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
            "settled",
            "Stays in a status, each once: those that ended and never were too long, and those that"
            " were found too long",
            "sentinel_flow_stays_settled_total",
            "counter",
            labels=("flow_type", "outcome"),
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
    slis=(
        Sli(
            "in_time",
            "stays of flows in a status that ended before they were found too long",
            (Term("settled"),),
            (Term("settled", {"outcome": IN_TIME}),),
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
