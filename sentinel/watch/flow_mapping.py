"""What a check watches of a table of flows: its mapping as people write it, and what that means for
the reader and for the judgement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from pydantic import Field, model_validator

from sentinel.adapters.flows.table import FlowSource, FlowTable, RowsOfWork
from sentinel.adapters.relation import Relation, fill, quote_name
from sentinel.core.flows.evidence import WorkSigns
from sentinel.core.flows.phase import LogKeys
from sentinel.core.flows.second import SecondRules
from sentinel.core.flows.stuck import WorkOrder
from sentinel.strict.field import ZONE, Duration, Strict, Zone


class PhaseLog(Strict):
    """A column with the transitions of a flow as a JSON array: `[{"phase": …, "at": …}, …]`."""

    column: str = Field(
        min_length=1, description="column of type jsonb, json or text with the array"
    )
    phase: str = Field("phase", description="key of an entry with the phase that was entered")
    status: str | None = Field(
        None,
        description=(
            "key of an entry with the status that was entered: the last entry tells since when"
        ),
    )
    at: str = Field("at", description="key of an entry with its time")
    zone: Zone | None = Field(
        None,
        description=(
            "IANA zone of times in texts without an offset; without it such a time tells nothing"
        ),
    )

    @property
    def keys(self) -> LogKeys:
        """For the reader."""
        return LogKeys(self.phase, self.status or "", self.at, self.zone or "")


class StatusConflict(Strict):
    """Statuses of the two columns that contradict each other."""

    status: list[str] = Field(min_length=1, description="statuses of the flow")
    second: list[str] = Field(
        min_length=1, description="statuses of the second column that contradict them"
    )


class SecondStatus(Strict):
    """A second column of status of the same row, with limits of its own. Statuses are compared
    without case.
    """

    column: str = Field(
        min_length=1, description="column with the second status; NULL and '' say nothing"
    )
    statuses: dict[str, str] = Field(
        {}, description="other spellings: text in the table, status that it means"
    )
    terminal: list[str] = Field(
        ["completed", "failed", "cancelled"], description="second statuses that are over"
    )
    waiting: list[str] = Field([], description="second statuses that wait for people: never late")
    overdue_after: Duration = Field(
        3600.0, description="longest stay in one second status, while none is learned"
    )
    overdue: dict[str, Duration] = Field(
        {}, description="longest stay by second status; wins over what is learned"
    )
    conflicts: list[StatusConflict] = Field(
        [], description="statuses of the two columns that contradict each other"
    )
    end_together: bool = Field(
        True, description="a flow that is over by one column only is at odds with itself"
    )

    @property
    def aliases(self) -> dict[str, str]:
        """Status text → canonical status, both in lower case."""
        return {text.lower(): meant.lower() for text, meant in self.statuses.items()}

    @property
    def rules(self) -> SecondRules:
        """For the judgement."""
        return SecondRules(
            self.column,
            lower(self.terminal),
            lower(self.waiting),
            {name.lower(): seconds for name, seconds in self.overdue.items()},
            self.overdue_after,
            [(lower(each.status), lower(each.second)) for each in self.conflicts],
            self.end_together,
        )


class TableMapping(Strict):
    """One table of flows: its columns, its statuses and what is normal. Statuses are compared
    without case.
    """

    table: str = Field(
        min_length=1,
        description="table of the flows, with its schema: public.flows",
        examples=["public.flows"],
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
        [],
        description="columns of the phases, in the order of work: booleans, or texts beside done",
    )
    done: list[str] = Field(
        [],
        description="values by which a phase_flags column that is no boolean says that it is done",
    )
    phase_log: PhaseLog | None = Field(
        None, description="column with the transitions of a flow as a JSON array"
    )
    counters: list[str] = Field([], description="columns whose change is progress, too")
    created_at: str | None = Field("created_at", description="column with the time of creation")
    changed_at: str | None = Field(
        "updated_at", description="column with the time of the last change"
    )
    status_changed_at: str | None = Field(
        None, description="column with the time of the last change of status"
    )
    zone: Zone | None = Field(None, description=ZONE)
    worker: str | None = Field(None, description="column with the worker")
    tenant: str | None = Field(
        None, description="column with the tenant: a flow without one is found"
    )
    second_status: SecondStatus | None = Field(
        None, description="another column of status of the same row, with limits of its own"
    )
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
        return lower([*named, *self.statuses.values()])

    @property
    def flow_table(self) -> FlowTable:
        """The columns; terminal texts are those of the table, before the mapping."""
        progress = [self.progress] if isinstance(self.progress, str) else self.progress or []
        second, log = self.second_status, self.phase_log
        return FlowTable(
            self.table,
            self.id,
            self.status,
            _raw(self.terminal, self.aliases),
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
            tenant=self.tenant,
            second=None if second is None else second.column,
            second_terminal=[] if second is None else _raw(second.terminal, second.aliases),
            done=sorted(lower(self.done)),
            log=None if log is None else log.column,
            log_keys=LogKeys() if log is None else log.keys,
            zone=self.zone,
        )

    @property
    def type_of_all(self) -> str | None:
        """The type of all flows; None when a column tells it."""
        return None if self.type is not None else self.flow_type or Relation.of(self.table).name

    @property
    def second_aliases(self) -> dict[str, str]:
        """Of the second status."""
        return {} if self.second_status is None else self.second_status.aliases

    @property
    def source(self) -> FlowSource:
        """What to read."""
        return FlowSource(
            self.table,
            self.flow_table,
            self.aliases,
            self.type_of_all,
            self.initial.lower(),
            second_aliases=self.second_aliases,
        )

    @property
    def limits(self) -> dict[str, float]:
        """Longest stay by status, as configured."""
        limits = {name.lower(): seconds for name, seconds in self.overdue.items()}
        if self.initial_overdue_after is not None:
            limits = {self.initial.lower(): self.initial_overdue_after, **limits}
        return limits

    @property
    def is_tracked(self) -> bool:
        """Whether any column tells of progress."""
        return bool(self.progress or self.counters or self.phase_flags or self.phase_log)

    @property
    def work_order(self) -> WorkOrder:
        """Statuses and phases in the order of work."""
        return WorkOrder(_rank(self.order), _rank(self.phases), self.initial.lower())

    @property
    def show(self) -> str:
        """The statement that shows a flow, up to its id as a text."""
        names = {"table": str(Relation.of(self.table)), "id": quote_name(self.id)}
        return fill("SELECT * FROM {table} WHERE {id}::text = ", names).replace("%%", "%")

    @property
    def signs(self) -> WorkSigns:
        """What proves that a flow works where nobody says: it has left its initial status, and has
        progress or a phase that is done, where these are mapped.
        """
        unbegun, phases = frozenset({self.initial.lower()}), self.phase_flags
        if self.progress is None and not phases:
            return WorkSigns(unbegun=unbegun, by_status=True)
        progress = None if self.progress is None else 0.0
        return WorkSigns(unbegun=unbegun, progress=progress, phases=phases)

    @model_validator(mode="after")
    def _says_what_it_means(self) -> Self:
        if self.done and not self.phase_flags:
            raise ValueError("done: the values of phase_flags, of which there are none")
        second = self.second_status
        if second is not None and second.column == self.status:
            raise ValueError(f"second_status: {second.column} is the status itself")
        return self


def lower(names: Sequence[str]) -> frozenset[str]:
    """Canonical statuses."""
    return frozenset(name.lower() for name in names)


def _raw(terminal: Sequence[str], aliases: dict[str, str]) -> list[str]:
    """Texts of the table that mean a terminal status, before the mapping."""
    over = lower(terminal)
    meant = {text for text, to in aliases.items() if to in over}
    return sorted({text for text in over if aliases.get(text, text) in over} | meant)


def _rank(names: Sequence[str]) -> dict[str, int]:
    return {name.lower(): n for n, name in enumerate(names)}


class WorkRows(Strict):
    """Another table in which a row proves that a child works."""

    table: str = Field(min_length=1, description="table with its schema: public.tasks")
    join: str = Field(min_length=1, description="column with the child's id")


class BegunWhen(Strict):
    """What proves that a child works, each of them alone."""

    statuses: list[str] = Field([], description="statuses of a child that works")
    progress: float | None = Field(None, description="progress above which a child works")
    flags: list[str] = Field(
        [], description="boolean columns, or column->key in JSON, of a child that works"
    )
    rows: WorkRows | None = Field(
        None,
        description=(
            "table in which a child that works has a row; of each run the oldest 2,000 are asked"
            " that nothing else proves and whose master is in its initial status"
        ),
    )

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not (self.statuses or self.flags or self.rows) and self.progress is None:
            raise ValueError(
                "names no evidence: give statuses, progress, flags or rows, or leave it out"
            )
        return self


class ChildMapping(TableMapping):
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

    begun_when: BegunWhen | None = Field(
        None,
        description=(
            "what proves that a child works; default: a status other than the initial one, and"
            " progress above 0 or a phase that is done where these are mapped"
        ),
    )

    @property
    def rows_of_work(self) -> RowsOfWork | None:
        """Where a row proves that a child works."""
        rows = self.begun_when.rows if self.begun_when is not None else None
        return None if rows is None else RowsOfWork(rows.table, rows.join)

    def signs_of(self, mapping: TableMapping) -> WorkSigns:
        """What proves that a child works; `mapping` is that of its rows."""
        when = self.begun_when
        if when is None:
            return mapping.signs
        statuses, flags = lower(when.statuses), when.flags
        return WorkSigns(statuses, progress=when.progress, flags=flags)

    @property
    def source(self) -> FlowSource:
        """What to read; the master's key is filled in by the check."""
        own = super().source
        flags = self.begun_when.flags if self.begun_when is not None else []
        return replace(
            own,
            name=f"{self.table} by {', '.join(self.join)}",
            table=replace(own.table, begun=flags),
            join=self.join,
            master_key=self.master_key or "",
            need_master=self.require_master,
            signs=self.signs_of(self),
            rows=self.rows_of_work,
        )


OF_JOIN = frozenset({"table", "join", "master_key", "require_master", "begun_when"})
"""Options of a child that are none of its rows: all that children in the master's table may have."""
