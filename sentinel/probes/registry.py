"""Kind `registry`: do registry, heartbeats, bus and open tasks agree about who is there?

The sets are read in the order that removes the races of starting and stopping, and a mismatch counts
when two polls in a row saw it (measurement.md §4).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field, field_validator

from sentinel.adapters.consumer_reader import find_streams, read_listeners
from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.registry_queries import MAX_AGENTS, Statement, TaskWork, select_agents
from sentinel.adapters.relation import Relation, find_scans, prove_visible, refuse_large_scan
from sentinel.core import registry
from sentinel.core.model import Finding, Measurement, Row, Status
from sentinel.core.quantity import Duration
from sentinel.core.registry import (
    KINDS,
    Agent,
    Arrivals,
    Census,
    Confirmation,
    Demand,
    Listeners,
    Rules,
    Suspects,
    Work,
)
from sentinel.probes import Context, Kind, Options

PROVE_EVERY = 60.0
REFRESH_EVERY = 10.0
MAX_CAPABILITIES = 100
MAX_REPORTED = 200


class Agents(Options):
    """The registry table."""

    table: str = Field("agents", min_length=1, description="table or view of agents, with its schema")
    id: str = Field("id", description="column of the agent's id")
    status: str = Field("status", description="column of the status")
    last_heartbeat: str | None = Field(None, description="column of the last heartbeat")
    capabilities: str | None = Field(None, description="column of the capabilities: array, JSON or text")
    registered_at: str | None = Field(None, description="column of the registration time")
    active: list[str] = Field(["active", "busy", "idle", "online"], description="statuses that must beat and listen")
    sleeping: list[str] = Field(["sleeping", "maintenance"], description="statuses that may be silent")
    inactive: list[str] = Field(
        ["inactive", "error", "shutting_down", "offline", "stopped"], description="statuses that must not beat"
    )


class Tasks(Options):
    """The task table."""

    table: str = Field("tasks", min_length=1, description="table or view of tasks, with its schema")
    id: str = Field("id", description="column of the task's id")
    status: str = Field("status", description="column of the status")
    agent: str = Field("assigned_agent_id", description="column of the agent that has the task")
    required_capabilities: str | None = Field(None, description="column of what a task needs: array, JSON or text")
    created_at: str | None = Field("created_at", description="column that bounds the queries; null for small tables")
    lookback: Duration = Field(86400.0, gt=0, description="only tasks created in this time are looked at")
    pending: list[str] = Field(["pending", "created", "new", "queued"], description="statuses that wait for an agent")
    open: list[str] = Field(["assigned", "in_progress", "running"], description="statuses that an agent works on")
    completed: list[str] = Field(["completed", "done"], description="statuses of success")


class Heartbeats(Options):
    """A sorted set of heartbeats: member is the agent, score the time."""

    key: str = Field(min_length=1, description="key of the sorted set")
    unit: str = Field(
        "seconds", pattern="^(seconds|milliseconds)$", description="unit of the scores: seconds or milliseconds"
    )


class Consumers(Options):
    """Which consumers of which streams are agents."""

    streams: str = Field(min_length=1, description="streams to look at, as a glob: agent_messages:*")
    agent_of_stream: str | None = Field(
        None, description="regular expression with (?P<agent>…) for the stream's owner; default: the glob's *"
    )
    agent_of_consumer: str = Field(
        "(?P<agent>.+)", description="regular expression with (?P<agent>…) that reads the agent from a consumer name"
    )

    @field_validator("agent_of_stream", "agent_of_consumer")
    @classmethod
    def _has_agent(cls, value: str | None) -> str | None:
        try:
            groups = re.compile(value or "(?P<agent>)").groupindex
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        if "agent" not in groups:
            raise ValueError("needs a group (?P<agent>…)")
        return value

    @property
    def owner(self) -> re.Pattern[str]:
        """Reads the agent from a stream's name."""
        if self.agent_of_stream is not None:
            return re.compile(self.agent_of_stream)
        head, star, tail = self.streams.partition("*")
        return re.compile(f"{re.escape(head)}(?P<agent>{'.+' if star else ''}){re.escape(tail)}")


class RegistryOptions(Options):
    """Options of `registry`."""

    database: str | None = Field(None, description="PostgreSQL resource with agents and tasks")
    bus: str | None = Field(None, description="Redis resource with heartbeats and streams")
    agents: Agents = Field(Agents(), description="the registry table")
    tasks: Tasks | None = Field(None, description="the task table, for orphaned work and capabilities")
    heartbeats: Heartbeats | None = Field(None, description="sorted set of heartbeats")
    consumers: Consumers | None = Field(None, description="consumers of the agents' streams")
    ttl: Duration = Field(60.0, gt=0, description="a heartbeat older than this is stale")
    quiet: Duration = Field(60.0, gt=0, description="a consumer idle for longer, while entries wait, does not listen")
    clock_tolerance: Duration = Field(2.0, gt=0, description="heartbeats further in the future show a wrong clock")

    @property
    def rules(self) -> Rules:
        """The times of the comparison."""
        return Rules(self.ttl, self.quiet, self.clock_tolerance)

    @property
    def needs_bus(self) -> bool:
        """Whether any set is read from Redis."""
        return self.heartbeats is not None or self.consumers is not None


class RegistryState:
    """Between polls: candidates, known ids, and what is refreshed less often. Only the counter survives a restart."""

    def __init__(self, document: dict[str, Any] | None = None) -> None:
        self.arrivals = Arrivals((document or {}).get("registrations", 0))
        self.confirmation = Confirmation()
        self.polls = 0
        self.done: dict[str, int] = {}
        self.done_since = ""
        self.streams: list[bytes] = []
        self._ran: dict[str, float] = {}

    def dump(self) -> Any:
        """JSON-able document."""
        return {"registrations": self.arrivals.total}

    async def close(self) -> None:
        """Holds nothing."""

    def is_due(self, what: str, every: float, now: float) -> bool:
        """Whether `what` was last done `every` seconds ago or never; monotonic."""
        return what not in self._ran or now - self._ran[what] >= every

    def did(self, what: str, now: float) -> None:
        """Note that `what` was done."""
        self._ran[what] = now


@dataclass(frozen=True, slots=True)
class Reading:
    """The census, and what the finding needs beside it."""

    census: Census
    unmapped: Mapping[str, int] = field(default_factory=dict)
    truncated: bool = False


async def run(options: RegistryOptions, context: Context) -> Finding:
    """Read the four sets in order, compare, and tell what two polls in a row have seen."""
    state: RegistryState = context.state
    reading = await _read(options, context)
    suspects = registry.find_suspects(reading.census, options.rules)
    confirmed = state.confirmation.confirm(suspects)
    state.polls += 1
    registrations = state.arrivals.see((reading.census.agents or {}).values())
    return _judge(options, state, reading, confirmed, registrations)


async def _read(options: RegistryOptions, context: Context) -> Reading:
    """Consumers; registry and tasks in one snapshot; heartbeats; consumers again."""
    bus = context.redis("bus") if options.needs_bus else None
    before = await _read_bus(options, bus, context)
    agents, tasks = await _read_database(options, context.postgres("database"), context)
    beats, beats_now = await _read_beats(options, bus)
    after = await _read_bus(options, bus, context)
    statuses = _canonical(options.agents)
    mapped, unmapped = _map_agents(agents, statuses)
    work, demands = tasks
    census = Census(
        agents=mapped,
        database_now=agents[0]["now"] if agents else 0.0,
        beats=beats,
        beats_now=beats_now,
        before=before,
        after=after,
        work=[Work(row["agent"], row["n"], tuple(row["sample"])) for row in work],
        demands=[
            Demand(registry.read_capabilities(row["required"]), row["n"], tuple(row["sample"])) for row in demands
        ],
    )
    return Reading(census, unmapped, len(agents) >= MAX_AGENTS)


Records = list[dict[str, Any]]


async def _read_database(
    options: RegistryOptions, client: PostgresClient, context: Context
) -> tuple[Records, tuple[Records, Records]]:
    """Registry rows, open work, demands: one snapshot, so that a task never names an agent of a later instant."""
    select = select_agents(options.agents.table, options.agents.model_dump())
    tasks = _task_statements(options)
    await _prove(options, client, tasks, context)
    async with client.snapshot() as query:
        agents = await query(select.sql, select.params)
        work = await query(tasks.work.sql, tasks.work.params) if tasks else []
        demands = await query(tasks.demands.sql, tasks.demands.params) if tasks and tasks.demands else []
    if tasks is not None:
        await _refresh_done(tasks, client, context)
    return agents, (work, demands)


def _task_statements(options: RegistryOptions) -> TaskWork | None:
    tasks = options.tasks
    if tasks is None:
        return None
    statuses = {"pending": tasks.pending, "open": tasks.open, "completed": tasks.completed}
    return TaskWork(tasks.table, tasks.model_dump(), statuses, tasks.lookback)


async def _prove(options: RegistryOptions, client: PostgresClient, tasks: TaskWork | None, context: Context) -> None:
    """Once a minute: do we see the rows, and can the task table be polled? Raises NotMeasurable with the remedy."""
    state: RegistryState = context.state
    if not state.is_due("proof", PROVE_EVERY, context.monotonic()):
        return
    await prove_visible(client.query, Relation.of(options.agents.table))
    if tasks is not None and options.tasks is not None:
        await prove_visible(client.query, Relation.of(options.tasks.table))
        column = options.tasks.created_at or options.tasks.agent
        for statement in (tasks.work, tasks.demands):
            if statement is not None:
                await refuse_large_scan(client.query, statement.sql, dict(statement.params), column)
    state.did("proof", context.monotonic())


async def _refresh_done(tasks: TaskWork, client: PostgresClient, context: Context) -> None:
    """Completed tasks by agent, every 10 s: all of them where that is cheap, else those of the lookback."""
    state: RegistryState = context.state
    if not state.is_due("done", REFRESH_EVERY, context.monotonic()):
        return
    cheap = await _is_cheap(client, tasks.done_ever)
    statement = tasks.done_ever if cheap else tasks.done
    rows = await client.query(statement.sql, statement.params)
    state.done = {row["agent"]: row["n"] for row in rows}
    state.done_since = "ever" if cheap else "lookback"
    state.did("done", context.monotonic())


async def _is_cheap(client: PostgresClient, statement: Statement) -> bool:
    scans = await find_scans(client.query, statement.sql, dict(statement.params))
    return all(scan.cost <= 5000 for scan in scans)


async def _read_bus(options: RegistryOptions, bus: RedisClient | None, context: Context) -> Listeners | None:
    """Consumers of the streams; the list of streams itself is read again every 10 s."""
    if options.consumers is None or bus is None:
        return None
    state: RegistryState = context.state
    if state.is_due("streams", REFRESH_EVERY, context.monotonic()):
        state.streams = await find_streams(bus, options.consumers.streams)
        state.did("streams", context.monotonic())
    names = re.compile(options.consumers.agent_of_consumer)
    return await read_listeners(bus, state.streams, options.consumers.owner, names)


async def _read_beats(options: RegistryOptions, bus: RedisClient | None) -> tuple[dict[str, float] | None, float]:
    """(agent → Unix seconds, server clock in seconds), or None without a sorted set."""
    if options.heartbeats is None or bus is None:
        return None, 0.0
    clock = await bus.call("TIME")
    reply = await bus.call("ZREVRANGE", options.heartbeats.key, 0, MAX_AGENTS - 1, "WITHSCORES")
    scale = 0.001 if options.heartbeats.unit == "milliseconds" else 1.0
    pairs = zip(reply[::2], reply[1::2], strict=True)
    beats = {name.decode("utf-8", "backslashreplace"): float(score) * scale for name, score in pairs}
    return beats, int(clock[0]) + int(clock[1]) / 1e6


def _canonical(agents: Agents) -> dict[str, str]:
    """Status text in lower case → canonical status."""
    groups = {
        registry.ACTIVE: agents.active,
        registry.SLEEPING: agents.sleeping,
        registry.INACTIVE: agents.inactive,
    }
    return {text.lower(): canonical for canonical, texts in groups.items() for text in texts}


def _map_agents(rows: Records, statuses: Mapping[str, str]) -> tuple[dict[str, Agent], dict[str, int]]:
    """(agents by id, status texts that no list names, with their counts)."""
    agents: dict[str, Agent] = {}
    unmapped: dict[str, int] = {}
    for row in rows:
        text = row["status"] or ""
        status = statuses.get(text, registry.UNMAPPED)
        if status == registry.UNMAPPED:
            unmapped[text] = unmapped.get(text, 0) + 1
        capabilities = registry.read_capabilities(row["capabilities"])
        seen = agents[row["id"]].rows if row["id"] in agents else 0
        agents[row["id"]] = Agent(row["id"], status, row["beat"], capabilities, row["registered"], seen + 1)
    return agents, unmapped


# --- judgement ----------------------------------------------------------------------------------

REMEDIES = {
    "ghost": "registered as active without a heartbeat: restart the agent, or set its status",
    "deaf": "alive but nobody reads its stream: restart the agent's consumer",
    "unregistered": "reads the bus without being registered: register it, or stop it",
    "zombie": "beats without being registered as active: stop the old process",
    "orphan": "open tasks of an agent that is gone: assign them again",
    "twin": "one agent twice: stop one of the processes",
    "uncovered": "no single live agent has these capabilities: start one, or split the task",
    "clock_ahead": "heartbeat in the future: correct the clock or the time zone, for a dead agent looks alive",
}


def _judge(
    options: RegistryOptions, state: RegistryState, reading: Reading, confirmed: Suspects, registrations: int
) -> Finding:
    counts = registry.count_mismatches(confirmed)
    census, live = reading.census, registry.live_agents(reading.census, options.rules)
    active = sum(agent.status == registry.ACTIVE for agent in (census.agents or {}).values())
    wrong = {kind: n for kind, n in counts.items() if n}
    evidence = {
        "mismatches": {
            kind: {"count": n, "sample": registry.sample_names(confirmed[kind]), "remedy": REMEDIES[kind]}
            for kind, n in wrong.items()
        },
        "agents": _per_agent(state, census),
        "completed_tasks_counted": state.done_since,
        **({"unmapped_statuses": dict(list(reading.unmapped.items())[:20])} if reading.unmapped else {}),
        **({"truncated": f"only the first {MAX_AGENTS} agents were compared"} if reading.truncated else {}),
    }
    status = Status.UP
    if wrong:
        status = Status.DOWN if active and not live and counts["ghost"] else Status.DEGRADED
    return Finding(
        status,
        ", ".join(f"{n} {kind}" for kind, n in wrong.items()) or f"{len(live)} of {active} active agents live",
        rows=_rows(options, census, counts, registrations, live),
        evidence=evidence,
        guidance="; ".join(f"{kind}: {REMEDIES[kind]}" for kind in wrong),
        key=("live agents", f"{len(live)} of {active}"),
    )


def _per_agent(state: RegistryState, census: Census) -> dict[str, dict[str, Any]]:
    """Task counts by agent, for reports; at most 200 agents, the busiest first."""
    open_tasks = {work.agent: work.count for work in census.work}
    agents = census.agents or {}

    def busiest(name: str) -> tuple[int, str]:
        return -(open_tasks.get(name, 0) + state.done.get(name, 0)), name

    return {
        name: {
            "status": agents[name].status,
            "tasks_completed": state.done.get(name, 0),
            "tasks_open": open_tasks.get(name, 0),
        }
        for name in sorted(agents, key=busiest)[:MAX_REPORTED]
    }


def _rows(
    options: RegistryOptions, census: Census, counts: Mapping[str, int], registrations: int, live: set[str]
) -> list[Row]:
    rows = [Row({"source": source}, {"agents": float(n)}) for source, n in _sources(options, census, live).items()]
    rows += [Row({"kind": kind}, {"agent_mismatches": float(counts[kind])}) for kind in KINDS]
    rows += [
        Row({"capability": name}, {"capability_live_agents": float(n)}) for name, n in _coverage(census, live).items()
    ]
    values = {
        "agent_registrations": float(registrations),
        "capability_uncovered_tasks": float(counts["uncovered"]),
    }
    agents = census.agents or {}
    active = [name for name, agent in agents.items() if agent.status == registry.ACTIVE]
    ages = [age for name in active if (age := registry.heartbeat_age(census, name)) is not None]
    if ages:
        values["agent_heartbeat_oldest_age_seconds"] = max(0.0, *ages)
    return [*rows, Row({}, values)]


def _sources(options: RegistryOptions, census: Census, live: set[str]) -> dict[str, int]:
    """Agents per configured source; a source that is not configured has no series."""
    sources = {"registry": len(census.agents or {})}
    if registry.has_heartbeats(census):
        sources["heartbeat"] = len(live)
    if census.after is not None:
        sources["bus"] = len({consumer.agent for consumer in census.after.consumers})
    if options.tasks is not None:
        sources["tasks"] = len(census.work)
    return sources


def _coverage(census: Census, live: set[str]) -> dict[str, int]:
    """Live agents per capability that agents offer or tasks demand; at most 100."""
    agents = census.agents or {}
    wanted = {name for demand in census.demands for name in demand.capabilities}
    offered = {name for agent in agents.values() for name in agent.capabilities}
    names = [*sorted(wanted), *sorted(offered - wanted)][:MAX_CAPABILITIES]
    return {name: sum(name in agents[agent].capabilities for agent in live) for name in names}


KIND = Kind(
    name="registry",
    summary="registry, heartbeats, bus consumers and open tasks: ghosts, deaf agents, orphaned work",
    options=RegistryOptions,
    run=run,
    resources={"database": "postgres", "bus": "redis?"},
    load_state=RegistryState,
    default_every=5.0,
    measurements=(
        Measurement("agents", "Agents per source", "sentinel_agents", "gauge", "", ("source",)),
        Measurement(
            "agent_mismatches",
            "Mismatches that two polls in a row saw; tasks for orphan and uncovered, else agents",
            "sentinel_agent_mismatches",
            "gauge",
            "",
            ("kind",),
        ),
        Measurement(
            "agent_heartbeat_oldest_age_seconds",
            "Age of the oldest heartbeat of an active agent",
            "sentinel_agent_heartbeat_oldest_age_seconds",
            "gauge",
            "seconds",
        ),
        Measurement(
            "capability_live_agents",
            "Live agents that have a capability",
            "sentinel_capability_live_agents",
            "gauge",
            "",
            ("capability",),
        ),
        Measurement(
            "capability_uncovered_tasks",
            "Waiting tasks that no single live agent can take",
            "sentinel_capability_uncovered_tasks",
        ),
        Measurement(
            "agent_registrations",
            "Registrations since sentinel began to watch",
            "sentinel_agent_registrations_total",
            "counter",
        ),
    ),
)
