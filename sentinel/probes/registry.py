"""Kind `registry`: do registry, heartbeats, bus and open tasks agree about who is there?

The registry may be a table, a hash, a key for each agent or a JSON file; heartbeats a column, a
sorted set, a hash or keys that expire. The sets are read in the order that removes the races of
starting and stopping, and a mismatch counts when two polls in a row saw it (measurement.md §4).
"""

from __future__ import annotations

import re
from typing import Any, Self

from pydantic import Field, model_validator

from sentinel.adapters.agents.file import AgentFile
from sentinel.adapters.agents.queries import MAX_AGENTS, AgentTable, TaskWork
from sentinel.adapters.agents.reader import RegistryMemory, RegistryReader, RegistryReading, Sources
from sentinel.adapters.agents.store import AgentStore, BeatStore
from sentinel.adapters.bus.consumer_reader import ListenerPlaces
from sentinel.core.agents.census import CensusRules, has_fresh_beat, live_agents
from sentinel.core.agents.confirmation import Confirmation
from sentinel.core.agents.finding import REGISTRY_KINDS, CensusFacts, make_finding
from sentinel.core.agents.pulse import Pulse
from sentinel.core.agents.registration import ACTIVE, INACTIVE, SLEEPING, Arrivals, Takeovers
from sentinel.core.agents.suspects import Suspect, Suspects, find_suspects
from sentinel.core.bus.naming import matches
from sentinel.core.foreign.expression import Expression, compile_expression
from sentinel.core.model import Finding, Fold, Impact, Measurement, Section, Term
from sentinel.core.moment.skew import Basis
from sentinel.probes import Context, GroupPatterns, Kind, Options, faults_of_target
from sentinel.strict.field import ZONE, AgentExpression, Duration, Zone

_ELSEWHERE = frozenset({"hash", "keys", "file"})
_COLUMNS = ("id", "name", "status", "last_heartbeat", "capabilities", "registered_at", "boot_id")


class Agents(Options):
    """The registry: a table or view, or one of hash, keys and file, whose fields are then named
    like columns.
    """

    table: str | None = Field(
        "agents", min_length=1, description="table or view of agents, with its schema"
    )
    hash: str | None = Field(
        None,
        min_length=1,
        description=(
            "in place of a table: key of a hash with a field for each agent, JSON or status"
        ),
    )
    keys: str | None = Field(
        None,
        min_length=1,
        description="in place of a table: glob of keys, a hash or JSON text for each agent",
    )
    file: str | None = Field(
        None, min_length=1, description="in place of a table: path of a JSON file"
    )
    lists: list[str] = Field(["agents"], min_length=1, description="lists of agents in the file")
    written: str | None = Field(
        None, description="key of the file with the time at which it says to be written"
    )
    next_update: str | None = Field(
        None, description="key of the file with the time at which it is written next"
    )
    fresh: Duration | None = Field(
        None, gt=0, description="longest time without a write of the file"
    )
    id: str = Field("id", description="column of the agent's id")
    name: str | None = Field(
        None, description="column of the name by which people know it; texts read: name (id)"
    )
    status: str = Field("status", description="column of the status")
    last_heartbeat: str | None = Field(None, description="column of the last heartbeat")
    capabilities: str | None = Field(
        None, description="column of the capabilities: array, JSON or text"
    )
    registered_at: str | None = Field(None, description="column of the registration time")
    boot_id: str | None = Field(
        None, description="column that differs at each start: boot id, host and pid …"
    )
    zone: Zone | None = Field(None, description=ZONE)
    active: list[str] = Field(
        ["active", "busy", "idle", "online"], description="statuses that must beat and listen"
    )
    sleeping: list[str] = Field(
        ["sleeping", "maintenance"], description="statuses that may be silent"
    )
    inactive: list[str] = Field(
        ["inactive", "error", "shutting_down", "offline", "stopped"],
        description="statuses that must not beat",
    )

    @model_validator(mode="before")
    @classmethod
    def _has_no_table_beside(cls, given: Any) -> Any:
        """Elsewhere there is no table by default: runbooks would look into one of that name."""
        if isinstance(given, dict) and not _ELSEWHERE.isdisjoint(given):
            return {"table": None, **given}
        return given

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if sum(place is not None for place in (self.hash, self.keys, self.file)) > 1:
            raise ValueError("give only one of hash, keys and file")
        return self

    @property
    def source(self) -> AgentTable | AgentStore | AgentFile:
        """Where the registry is."""
        names = {name: getattr(self, name) for name in _COLUMNS}
        if self.file is not None:
            times = self.written, self.next_update
            return AgentFile(self.file, self.lists, names, *times, self.zone)
        if self.hash is not None or self.keys is not None:
            return AgentStore(names, self.hash, self.keys, self.zone)
        return AgentTable(self.table or "", names, self.zone)

    @property
    def statuses(self) -> dict[str, str]:
        """Status text in lower case → canonical status."""
        groups = {ACTIVE: self.active, SLEEPING: self.sleeping, INACTIVE: self.inactive}
        return {text.lower(): canonical for canonical, texts in groups.items() for text in texts}


class RegistryTasks(Options):
    """The task table."""

    table: str = Field("tasks", min_length=1, description="table or view of tasks, with its schema")
    id: str = Field("id", description="column of the task's id")
    status: str = Field("status", description="column of the status")
    agent: str = Field("assigned_agent_id", description="column of the agent that has the task")
    required_capabilities: str | None = Field(
        None, description="column of what a task needs: array, JSON or text"
    )
    created_at: str | None = Field(
        "created_at", description="column that bounds the queries; null for small tables"
    )
    lookback: Duration = Field(
        86400.0, gt=0, description="only tasks created in this time are looked at"
    )
    zone: Zone | None = Field(None, description=ZONE)
    pending: list[str] = Field(
        ["pending", "created", "new", "queued"], description="statuses that wait for an agent"
    )
    open: list[str] = Field(
        ["assigned", "in_progress", "running"], description="statuses that an agent works on"
    )
    completed: list[str] = Field(["completed", "done"], description="statuses of success")

    @property
    def work(self) -> TaskWork:
        """The statements about tasks."""
        statuses = {"pending": self.pending, "open": self.open, "completed": self.completed}
        return TaskWork(self.table, self.model_dump(), statuses, self.lookback, self.zone)


def _pattern_of(glob: str) -> Expression:
    """What the `*` of a glob stands for is the agent."""
    head, star, tail = glob.partition("*")
    return compile_expression(
        f"{re.escape(head)}(?P<agent>{'.+' if star else ''}){re.escape(tail)}"
    )


class Heartbeats(Options):
    """Heartbeats outside of the registry: one of a sorted set, a hash, and keys that expire."""

    key: str | None = Field(
        None, min_length=1, description="key of a sorted set: member is the agent, score the time"
    )
    hash: str | None = Field(
        None, min_length=1, description="key of a hash: field is the agent, value the time"
    )
    keys: str | None = Field(
        None, min_length=1, description="glob of keys that each beat sets to expire anew"
    )
    lifetime: Duration | None = Field(
        None, gt=0, description="time to live that a beat gives its key; needed with keys"
    )
    field: str | None = Field(
        None, description="of the hash's values as JSON: the field with the time"
    )
    member: AgentExpression | None = Field(
        None,
        description=(
            "regular expression with (?P<agent>…), and (?P<boot>…) where names tell it, of a"
            " member, field or key; default: the whole name, or the *"
        ),
    )
    unit: str = Field(
        "seconds",
        pattern="^(seconds|milliseconds)$",
        description="unit of numbers: seconds or milliseconds",
    )
    zone: Zone | None = Field(
        None,
        description="zone of texts without an offset, such as Europe/Athens; default: UTC, and said",
    )

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if sum(place is not None for place in (self.key, self.hash, self.keys)) != 1:
            raise ValueError("give one of key, hash and keys")
        if (self.keys is None) != (self.lifetime is None):
            raise ValueError(
                "keys and lifetime belong together: what is left of it tells when the beat was"
            )
        return self

    @property
    def store(self) -> BeatStore:
        """Where they are."""
        default = (
            _pattern_of(self.keys)
            if self.keys is not None
            else compile_expression("(?s)(?P<agent>.+)")
        )
        member = compile_expression(self.member) if self.member is not None else default
        scale = 0.001 if self.unit == "milliseconds" else 1.0
        return BeatStore(
            member,
            self.key,
            self.hash,
            self.keys,
            self.lifetime or 0.0,
            scale,
            self.field,
            self.zone,
        )


class Consumers(Options):
    """Which consumers of which streams are agents."""

    streams: str = Field(
        min_length=1, description="streams to look at, as a glob: agent_messages:*"
    )
    groups: GroupPatterns = Field(
        GroupPatterns(), description="groups to look at; each plain name must be there"
    )
    agent_of_stream: AgentExpression | None = Field(
        None,
        description=(
            "regular expression with (?P<agent>…) for the stream's owner; default: the glob's *"
        ),
    )
    agent_of_consumer: AgentExpression = Field(
        "(?P<agent>.+)",
        description=(
            "regular expression with (?P<agent>…) that reads the agent from a consumer name"
        ),
    )

    @property
    def places(self) -> ListenerPlaces:
        """Where to look."""
        owner = (
            compile_expression(self.agent_of_stream)
            if self.agent_of_stream is not None
            else _pattern_of(self.streams)
        )
        plain = [name for name in self.groups.include if not re.search(r"[*?\[]", name)]
        consumer = compile_expression(self.agent_of_consumer)
        return ListenerPlaces(self.streams, owner, consumer, self.has_group, plain)

    def has_group(self, name: str) -> bool:
        """Whether a group counts."""
        return matches(name, self.groups.include) and not matches(name, self.groups.exclude)


class RegistryOptions(Options):
    """Options of `registry`."""

    database: str | None = Field(None, description="PostgreSQL resource with agents and tasks")
    bus: str | None = Field(None, description="Redis resource with heartbeats and streams")
    agents: Agents = Field(Agents(), description="the registry")
    tasks: RegistryTasks | None = Field(
        None, description="the task table, for orphaned work and capabilities"
    )
    heartbeats: Heartbeats | None = Field(None, description="heartbeats outside of the registry")
    consumers: Consumers | None = Field(None, description="consumers of the agents' streams")
    ttl: Duration = Field(60.0, gt=0, description="a heartbeat older than this is stale")
    quiet: Duration = Field(
        60.0, gt=0, description="a consumer idle for longer, while entries wait, does not listen"
    )
    clock_tolerance: Duration = Field(
        2.0, gt=0, description="heartbeats further in the future show a wrong clock"
    )
    flapping_above: int = Field(
        10, gt=0, description="an agent that registers more often in an hour does not stay up"
    )

    @property
    def rules(self) -> CensusRules:
        """The times of the comparison."""
        return CensusRules(self.ttl, self.quiet, self.clock_tolerance)

    @property
    def sources(self) -> Sources:
        """What to read."""
        return Sources(
            self.agents.source,
            self.agents.statuses,
            self.tasks.work if self.tasks else None,
            self.heartbeats.store if self.heartbeats else None,
            self.consumers.places if self.consumers else None,
        )


class RegistryState:
    """Between polls: candidates, known registrations, beats; and what is asked less often.

    Only the count of registrations survives a restart, with the time of the last look.
    """

    def __init__(self, document: dict[str, Any] | None = None) -> None:
        known = document or {}
        self.arrivals = Arrivals(known.get("registrations", 0), known.get("looked"))
        self.takeovers = Takeovers()
        self.confirmation = Confirmation()
        self.pulse = Pulse()
        self.memory = RegistryMemory()

    def dump(self) -> Any:
        """JSON-able document."""
        return {"registrations": self.arrivals.total, "looked": self.arrivals.looked}

    async def close(self) -> None:
        """Holds nothing."""


async def run(options: RegistryOptions, context: Context) -> Finding:
    """Read the four sets in order, compare, and tell what two polls in a row have seen."""
    state: RegistryState = context.state
    clients, clock = context.clients, context.read_wall().timestamp()
    reader = RegistryReader(
        options.sources,
        clients.get("database"),
        clients.get("bus"),
        state.memory,
        context.monotonic(),
        clock,
    )
    reading = await reader.read()
    census = reading.census
    vitals = state.pulse.see(census, options.rules)
    is_zoned = census.registered_basis is not Basis.DISAGREED
    state.arrivals.see((census.agents or {}).values(), census.now, is_zoned=is_zoned)
    suspects = find_suspects(census, options.rules, vitals)
    _add_proven(options, state, reading, suspects, clock)
    confirmed = state.confirmation.confirm(suspects)
    live = live_agents(census, options.rules, vitals)
    beating = sum(has_fresh_beat(name, options.rules, vitals) for name in vitals.ages)
    return make_finding(census, confirmed, live, vitals, _facts(options, state, reading, beating))


def _add_proven(
    options: RegistryOptions,
    state: RegistryState,
    reading: RegistryReading,
    suspects: Suspects,
    clock: float,
) -> None:
    """What one poll proves by itself, or with the memory of the polls before."""
    agents, now = reading.census.agents or {}, reading.census.now
    for name, boots in state.takeovers.see(agents, now, options.ttl).items():
        suspects["split"][name] = Suspect(sample=boots, proven=True)
    for name, n in state.arrivals.last_hour(now).items():
        if n > options.flapping_above:
            suspects["flapping"][name] = Suspect(sample=(f"{n} times in an hour",), proven=True)
    if reading.file is not None and options.agents.file is not None:
        faults = reading.file.find_faults(clock, options.agents.fresh, options.clock_tolerance)
        if faults:
            suspects["stale_file"][options.agents.file] = Suspect(sample=faults, proven=True)


def _facts(
    options: RegistryOptions, state: RegistryState, reading: RegistryReading, beating: int
) -> CensusFacts:
    return CensusFacts(
        rules=options.rules,
        flapping_above=options.flapping_above,
        tasks_counted=options.tasks is not None,
        done=state.memory.done,
        done_since=state.memory.done_since,
        unmapped=reading.unmapped,
        troubles=reading.troubles,
        registrations=state.arrivals.total,
        last_hour=state.arrivals.last_hour(reading.census.now),
        beating=beating,
        limit=MAX_AGENTS if reading.truncated else None,
        clocks=reading.clocks,
    )


FAULTS = (
    *REGISTRY_KINDS,
    *faults_of_target("database-unreachable", rejected="database-degraded"),
)
_EACH_AGENT = ("agent", "name", "status")

KIND = Kind(
    name="registry",
    summary=(
        "registry, heartbeats, bus consumers and open tasks: ghosts, deaf agents, orphaned work"
    ),
    options=RegistryOptions,
    run=run,
    board="agents",
    resources={"database": "postgres?", "bus": "redis?"},
    load_state=RegistryState,
    patient=True,
    default_every=5.0,
    faults=FAULTS,
    measurements=(
        Measurement("agents", "Agents per source", "sentinel_agents", "gauge", "", ("source",)),
        Measurement(
            "agent_mismatches",
            "Mismatches that two polls in a row saw; tasks for orphan and uncovered ones, else"
            " agents",
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
        # Without a metric: the agent is no label of a series.
        Measurement(
            "agent_tasks_completed", "Tasks that an agent ever completed", labels=_EACH_AGENT
        ),
        Measurement("agent_tasks_open", "Tasks that an agent holds", labels=_EACH_AGENT),
        Measurement(
            "agent_registrations_last_hour", "Registrations that sentinel saw in the last hour"
        ),
    ),
    impact=(
        Impact(
            "tasks completed", Section.COMPLETED, (Term("agent_tasks_completed"),), each="agent"
        ),
        Impact(
            "tasks held",
            Section.HELD,
            (Term("agent_tasks_open"),),
            fold=Fold.SUM,
            each="agent",
        ),
        Impact(
            "waiting tasks that no live agent can take",
            Section.WORK,
            (Term("capability_uncovered_tasks"),),
            fold=Fold.SUM,
        ),
    ),
)
