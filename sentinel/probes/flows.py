"""Kind `flows`: do the flows of a table get on, or are they stuck?

One table per check, by a mapping of its columns. Three ways of being stuck (measurement.md §5): `overdue` (too long
in one status), `no_progress` (progress has not changed for too long, whatever updated_at says, platforms.md R13) and
`regression` (progress or status behind where it has been). The last two need sentinel's own history of each flow,
which survives a restart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from sentinel.adapters.postgres import Query, Record, identifier
from sentinel.core.model import Finding, Measurement, Row, Status
from sentinel.core.quantity import Duration, format_duration
from sentinel.errors import NotMeasurable
from sentinel.probes import Context, Kind, Options

REASONS = ("overdue", "no_progress", "regression")
_SAMPLES = 5
_LABEL_SETS = 50
_OTHER = "_other_"


class FlowsOptions(Options):
    """Options of `flows`. Statuses are compared without regard to case."""

    resource: str | None = Field(None, description="PostgreSQL resource with the table")
    table: str = Field(description="table of the flows, with its schema: public.flows")
    id: str = Field("id", description="column with the identity of a flow")
    type: str | None = Field(None, description="column with the type of a flow")
    flow_type: str = Field("flow", description="type of all flows, when no column tells it")
    status: str = Field("status", description="column with the status")
    progress: str | None = Field(None, description="column with the progress, any number (also as text)")
    created_at: str = Field("created_at", description="column with the time of creation")
    changed_at: str | None = Field("updated_at", description="column with the time of the last change")
    worker: str | None = Field(None, description="column with the worker, shown with samples")
    initial: str = Field("initialized", description="status of a flow that nobody has begun")
    terminal: list[str] = Field(["completed", "failed", "cancelled"], description="statuses of flows that are over")
    waiting: list[str] = Field([], description="statuses that wait for people: never stuck")
    order: list[str] = Field([], description="statuses in the order of work: going back is a regression")
    overdue_after: Duration = Field(3600.0, description="longest stay in one status")
    initial_overdue_after: Duration | None = Field(None, description="longest stay in the initial status")
    overdue: dict[str, Duration] = Field({}, description="longest stay by status, in place of overdue_after")
    no_progress_after: Duration | None = Field(1800.0, description="longest time without a change of progress")
    max_flows: int = Field(5000, gt=0, le=100_000, description="open flows to read, oldest first")

    def longest_stay(self, status: str) -> float:
        """Seconds that a flow may stay in this status (lower case)."""
        own = {name.lower(): seconds for name, seconds in self.overdue.items()}
        if status == self.initial.lower() and self.initial_overdue_after is not None:
            return own.get(status, self.initial_overdue_after)
        return own.get(status, self.overdue_after)


@dataclass(slots=True)
class Memory:
    """What sentinel remembers of one flow: Unix seconds by the server's clock, and how far it has been."""

    status: str
    since: float
    progress: float | None
    moved: float
    peak: float | None
    rank: int


class FlowsState:
    """Memory of the open flows; those that are over are forgotten."""

    def __init__(self, document: Any = None) -> None:
        self.flows = {str(key): Memory(*value) for key, value in (document or {}).items()}

    def dump(self) -> Any:
        """Everything: a flow that stands still for a day is seen to, also over restarts."""
        return {key: [m.status, m.since, m.progress, m.moved, m.peak, m.rank] for key, m in self.flows.items()}

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One open flow now: age in its status in seconds, and why it is stuck."""

    id: str
    type: str
    status: str
    worker: str
    age: float
    reasons: tuple[str, ...]


async def run(options: FlowsOptions, context: Context) -> Finding:
    """Read the open flows, compare with what was before, judge."""
    async with context.postgres().snapshot() as query:
        records = await _read(query, options)
        if not records:
            await _prove_sight(query, options)
    flows = list(_remember(options, context.state, records[: options.max_flows]))
    ahead = sum(record["created_age"] < -2 for record in records)
    return _finding(options, flows, more=len(records) > options.max_flows, ahead=ahead)


async def _read(query: Query, options: FlowsOptions) -> list[Record]:
    """Open flows, oldest first, ages in seconds by the server's clock; naive times are taken as UTC."""
    column = {
        name: f"f.{identifier(given)}"
        for name in ("id", "type", "status", "progress", "created_at", "changed_at", "worker")
        if (given := getattr(options, name))
    }
    age = "extract(epoch from clock_timestamp() - {})::float8"
    sql = f"""
select {column["id"]}::text as id, lower({column["status"]}::text) as status,
       {column.get("type", "null")}::text as type, {column.get("progress", "null")}::text as progress,
       {column.get("worker", "null")}::text as worker,
       {age.format(column["created_at"])} as created_age,
       {age.format(column.get("changed_at", column["created_at"]))} as changed_age,
       extract(epoch from clock_timestamp())::float8 as now
from {identifier(options.table)} as f
where lower({column["status"]}::text) <> all(%(terminal)s)
order by {column["created_at"]} limit %(limit)s"""  # noqa: S608 - identifiers are quoted
    terminal = [status.lower() for status in options.terminal]
    return await query(sql, {"terminal": terminal, "limit": options.max_flows + 1})


async def _prove_sight(query: Query, options: FlowsOptions) -> None:
    """No open flow is only good news for a role that row-level security hides nothing from (R15)."""
    sql = "select row_security_active(%(table)s::regclass) as hidden"
    if (await query(sql, {"table": identifier(options.table).replace("%%", "%")}))[0]["hidden"]:
        raise NotMeasurable(
            f"row-level security may hide all rows of {options.table} from this role: nothing seen is no proof",
            "read through a narrow view, or as a role with BYPASSRLS",
        )


def _remember(options: FlowsOptions, state: FlowsState, records: Sequence[Record]) -> Iterator[Flow]:
    order = {status.lower(): rank for rank, status in enumerate(options.order)}
    before, state.flows = state.flows, {}
    for record in records:
        memory = _advance(before.get(record["id"]), record, order)
        state.flows[record["id"]] = memory
        yield _judged(options, record, memory, order)


def _advance(before: Memory | None, record: Record, order: Mapping[str, int]) -> Memory:
    status, progress, now = record["status"] or "", _number(record["progress"]), record["now"]
    rank = order.get(status, -1)
    if before is None:
        return Memory(status, now, progress, now, progress, rank)
    peaks = [value for value in (before.peak, progress) if value is not None]
    return Memory(
        status,
        before.since if status == before.status else now,
        progress,
        before.moved if (progress, status) == (before.progress, before.status) else now,
        max(peaks, default=None),
        max(before.rank, rank),
    )


def _judged(options: FlowsOptions, record: Record, memory: Memory, order: Mapping[str, int]) -> Flow:
    age = _age_in_status(options, record, memory)
    waits = memory.status in {status.lower() for status in options.waiting}
    reasons = () if waits else tuple(_reasons(options, record, memory, age, order))
    type_ = options.flow_type if options.type is None else record["type"] or ""
    return Flow(record["id"], type_, memory.status, record["worker"] or "", age, reasons)


def _age_in_status(options: FlowsOptions, record: Record, memory: Memory) -> float:
    """Exact for the initial status; else the longer of two lower bounds: since the last change, since first seen."""
    if memory.status == options.initial.lower():
        return max(0.0, float(record["created_age"]))
    changed = record["changed_age"] if options.changed_at and record["changed_age"] is not None else 0.0
    return max(0.0, float(changed), float(record["now"]) - memory.since)


def _reasons(
    options: FlowsOptions, record: Record, memory: Memory, age: float, order: Mapping[str, int]
) -> Iterator[str]:
    if age > options.longest_stay(memory.status):
        yield "overdue"
    begun = memory.status != options.initial.lower()
    still = record["now"] - memory.moved
    if options.progress and options.no_progress_after is not None and begun and still > options.no_progress_after:
        yield "no_progress"
    fell = memory.peak is not None and memory.progress is not None and memory.progress < memory.peak
    if fell or 0 <= order.get(memory.status, -1) < memory.rank:
        yield "regression"


def _number(text: str | None) -> float | None:
    """Progress may be stored as text (R12), also as `45%`."""
    try:
        return float(text.strip().rstrip("%")) if text else None
    except ValueError:
        return None


def _finding(options: FlowsOptions, flows: Sequence[Flow], *, more: bool, ahead: int) -> Finding:
    stuck = {reason: [flow for flow in flows if reason in flow.reasons] for reason in REASONS}
    said = [_said(reason, found) for reason, found in stuck.items() if found]
    if more:
        said.append(f"only the oldest {options.max_flows} open flows were read")
    if ahead:
        said.append(f"{ahead} created in the future: a clock or a time zone is wrong")
    count = sum(1 for flow in flows if flow.reasons)
    return Finding(
        Status.DEGRADED if count else Status.UP,
        "; ".join(said) or f"{len(flows)} open, none stuck",
        _rows(flows),
        {reason: [_sample(flow) for flow in _oldest(found)] for reason, found in stuck.items() if found},
        f"look at these flows and their workers in {options.table}" if count else "",
        ("stuck", f"{count}/{len(flows)}"),
    )


def _oldest(flows: Sequence[Flow]) -> list[Flow]:
    return sorted(flows, key=lambda flow: -flow.age)[:_SAMPLES]


def _said(reason: str, flows: Sequence[Flow]) -> str:
    oldest = _oldest(flows)[0]
    word = reason.replace("_", " ")
    return f"{len(flows)} {word}, such as {oldest.id:.40} ({oldest.status}, {format_duration(oldest.age)})"


def _sample(flow: Flow) -> dict[str, Any]:
    return {"id": flow.id[:80], "status": flow.status, "worker": flow.worker[:80], "age_seconds": round(flow.age, 1)}


def _rows(flows: Sequence[Flow]) -> list[Row]:
    """Per type and status, the most frequent first; what is over the bound is summed up as `_other_`."""
    groups: dict[tuple[str, str], list[Flow]] = {}
    for flow in flows:
        groups.setdefault((flow.type, flow.status), []).append(flow)
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    bounded = dict(ranked[:_LABEL_SETS])
    if rest := [flow for _, members in ranked[_LABEL_SETS:] for flow in members]:
        bounded[_OTHER, _OTHER] = rest
    return [row for (type_, status), members in bounded.items() for row in _group_rows(type_, status, members)]


def _group_rows(type_: str, status: str, flows: Sequence[Flow]) -> Iterator[Row]:
    labels = {"flow_type": type_, "status": status}
    yield Row(labels, {"open": float(len(flows)), "oldest_age_seconds": max(flow.age for flow in flows)})
    for reason in REASONS:
        yield Row({**labels, "reason": reason}, {"stuck": float(sum(reason in flow.reasons for flow in flows))})


KIND = Kind(
    name="flows",
    summary="Flows of a table: overdue in their status, without progress, going backwards",
    options=FlowsOptions,
    run=run,
    resources={"resource": "postgres"},
    load_state=FlowsState,
    default_every=30.0,
    measurements=(
        Measurement("open", "Open flows", "sentinel_flow_open", labels=("flow_type", "status")),
        Measurement("stuck", "Stuck flows by reason", "sentinel_flow_stuck", labels=("flow_type", "status", "reason")),
        Measurement(
            "oldest_age_seconds",
            "Longest time that a flow has been in this status, at least",
            "sentinel_flow_oldest_age_seconds",
            unit="seconds",
            labels=("flow_type", "status"),
        ),
    ),
)
