"""Reads the four sets of kind `registry` in the order that removes the races of starting and
stopping.

Heartbeats and consumers; registry and tasks (in one snapshot where one database has both, else
tasks before and after it); heartbeats; consumers. Who comes registers first, who goes deregisters
last: what beats or listens before and after a look at the registry, and is not in it, is neither
coming nor going (measurement.md §4).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sentinel.adapters.agents.file import AgentFile, read_file
from sentinel.adapters.agents.queries import MAX_AGENTS, AgentTable, TaskWork, read_table_row
from sentinel.adapters.agents.store import (
    AgentStore,
    BeatStore,
    Troubles,
    clock_of_texts,
    read_beats,
    read_store,
    refuse_type,
)
from sentinel.adapters.bus.consumer_reader import (
    ListenerPlaces,
    find_other_keys,
    find_streams,
    read_listeners,
)
from sentinel.adapters.columns import find_clocks, prove_columns
from sentinel.adapters.postgres import PostgresClient, Query
from sentinel.adapters.redis import RedisClient
from sentinel.adapters.relation import (
    Relation,
    Statement,
    find_scans,
    prove_visible,
    refuse_large_scan,
)
from sentinel.core.agents.capability import Demand, read_capabilities
from sentinel.core.agents.census import Beats, Census, Listeners, Work
from sentinel.core.agents.registration import ACTIVE, FileAge, RegisteredAgent, Registration, merge
from sentinel.core.moment.skew import Basis, ColumnClock, tell_cure, tell_skew
from sentinel.errors import NotMeasurable, SubjectError

PROVE_EVERY = 60.0
REFRESH_EVERY = 10.0
_CHEAP = 5000.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the sets are. `statuses`: status text in lower case → canonical status."""

    agents: AgentTable | AgentStore | AgentFile
    statuses: Mapping[str, str]
    tasks: TaskWork | None = None
    beats: BeatStore | None = None
    consumers: ListenerPlaces | None = None


@dataclass(slots=True)
class RegistryMemory:
    """What is asked less often than every run: proofs, names of streams, completed tasks by agent;
    the clocks of the columns of both tables.
    """

    agent_clocks: Mapping[str, ColumnClock] = field(default_factory=dict)
    task_clocks: Mapping[str, ColumnClock] = field(default_factory=dict)
    streams: list[bytes] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    done_since: str = ""
    tasks_trouble: SubjectError | None = None
    ran: dict[str, float] = field(default_factory=dict)

    def is_due(self, what: str, every: float, now: float) -> bool:
        """Whether `what` was last done `every` seconds ago or never; monotonic."""
        return what not in self.ran or now - self.ran[what] >= every


@dataclass(frozen=True, slots=True)
class RegistryReading:
    """The census, and what the finding needs beside it. `clocks`: of the times that have none of
    their own, by what they are: `registry`, `registered`, `tasks`, `beats`, `file`.
    """

    census: Census
    unmapped: Mapping[str, int] = field(default_factory=dict)
    troubles: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    file: FileAge | None = None
    truncated: bool = False
    clocks: Mapping[str, ColumnClock] = field(default_factory=dict)


@dataclass(slots=True)
class RegistryReader:
    """One run: clients, what is remembered, the clocks (monotonic and Unix seconds), troubles as
    they come up.
    """

    sources: Sources
    database: PostgresClient | None
    bus: RedisClient | None
    memory: RegistryMemory
    monotonic: float
    clock: float
    troubles: Troubles = field(default_factory=dict)
    file: FileAge | None = None
    clocks: dict[str, ColumnClock] = field(default_factory=dict)

    async def read(self) -> RegistryReading:
        """All sets, in order. Raises TargetError when the registry itself, or a server, can't be
        read.
        """
        beats_before = await self._read_beats()
        before = await self._read_listeners()
        rows, now, work, demands = await self._read_registry()
        beats = await self._read_beats()
        after = await self._read_listeners()
        agents = merge(rows[:MAX_AGENTS], self.sources.statuses)
        if after is not None:
            after = await self._without_other_keys(after, agents)
        unmapped: dict[str, int] = {}
        for row in rows:
            if row.status not in self.sources.statuses:
                unmapped[row.status] = unmapped.get(row.status, 0) + 1
        census = Census(
            agents,
            now,
            beats_before,
            beats,
            before,
            after,
            work,
            demands,
            self._basis("registry"),
            self._basis("registered"),
            self.clocks["registry"].zone if "registry" in self.clocks else "",
        )
        is_cut = len(rows) >= MAX_AGENTS
        return RegistryReading(census, unmapped, self.troubles, self.file, is_cut, self.clocks)

    def _basis(self, what: str) -> Basis:
        clock = self.clocks.get(what)
        return clock.basis if clock is not None else Basis.TYPED

    # --- the bus ---------------------------------------------------------------------------------

    async def _read_beats(self) -> Beats | None:
        store = self.sources.beats
        if store is None:
            return None
        bus = self._bus()
        beats = await self._guard("heartbeats", "heartbeats", lambda: read_beats(bus, store))
        if beats is not None and beats.basis is not Basis.TYPED:
            self.clocks["beats"] = clock_of_texts(store.place, store.zone)
        return beats

    async def _read_listeners(self) -> Listeners | None:
        """Consumers of the streams; the list of streams itself is read again every 10 s."""
        places, memory = self.sources.consumers, self.memory
        if places is None:
            return None
        bus = self._bus()
        if memory.is_due("streams", REFRESH_EVERY, self.monotonic):
            memory.streams = await find_streams(bus, places.streams)
            memory.ran["streams"] = self.monotonic
        listeners, troubles = await read_listeners(bus, memory.streams, places)
        self.troubles.update(troubles)
        return listeners

    async def _without_other_keys(
        self, after: Listeners, agents: Mapping[str, RegisteredAgent]
    ) -> Listeners:
        """An agent whose stream's key holds something else is not judged, and that is said."""
        places = self.sources.consumers
        if places is None:
            return after
        active = [name for name, agent in agents.items() if agent.status == ACTIVE]
        others = await find_other_keys(self._bus(), self.memory.streams, places.streams, active)
        for agent, kind in others.items():
            remedy = (
                "the platform can't publish to it: rename the key, or delete it when nothing"
                " needs it"
            )
            self.troubles[f"stream of {agent:.60}"] = (f"its key is of type {kind}", remedy)
        return replace(after, unjudged={**after.unjudged, **others})

    def _bus(self) -> RedisClient:
        if self.bus is None:
            raise NotMeasurable("no Redis resource for this check", "name one as bus")
        return self.bus

    async def _guard(self, subject: str, option: str, work: Callable[[], Awaitable[T]]) -> T | None:
        """What can't be read for a reason of its own is left out and told; the other sets are
        compared.
        """
        try:
            return await work()
        except SubjectError as error:
            self.troubles[subject] = refuse_type(error, option)
            return None

    # --- registry and tasks ----------------------------------------------------------------------

    async def _read_registry(self) -> tuple[list[Registration], float, list[Work], list[Demand]]:
        source = self.sources.agents
        if isinstance(source, AgentTable):
            return await self._read_table(source)
        before, _ = await self._read_tasks_alone()
        if isinstance(source, AgentStore):
            rows, now, troubles = await read_store(self._bus(), source)
        else:
            rows, age, troubles = await read_file(source)
            now, self.file = self.clock, self._screen_file(source, age)
        if any(row.is_wall for row in rows):
            clock = clock_of_texts(source.place, source.zone)
            self.clocks |= {"registry": clock, "registered": clock}
        self.troubles.update(troubles)
        after, demands = await self._read_tasks_alone()
        return rows, now, _in_both(before, after), demands

    async def _read_table(
        self, table: AgentTable
    ) -> tuple[list[Registration], float, list[Work], list[Demand]]:
        """Registry rows, open work, demands: one snapshot, so that a task never names an agent of a
        later instant.
        """
        client = self._database()
        await self._prove(client, table)
        tasks, select = self._tasks(), table.select(self.memory.agent_clocks)
        self._note_clock("registry", self.memory.agent_clocks, table.names["last_heartbeat"])
        self._note_clock("registered", self.memory.agent_clocks, table.names["registered_at"])
        async with client.snapshot() as query:
            agents = await query(select.sql, select.params)
            work, demands = await self._read_tasks(query, tasks)
        await self._refresh_done(client)
        return (
            [read_table_row(row) for row in agents],
            agents[0]["now"] if agents else self.clock,
            work,
            demands,
        )

    async def _read_tasks_alone(self) -> tuple[list[Work], list[Demand]]:
        if self.sources.tasks is None:
            return [], []
        client = self._database()
        await self._prove(client, None)
        async with client.snapshot() as query:
            found = await self._read_tasks(query, self._tasks())
        await self._refresh_done(client)
        return found

    def _screen_file(self, source: AgentFile, age: FileAge) -> FileAge:
        """Without what the file claims, where that is of another zone: then it proves nothing."""
        off = age.find_offset()
        if off is None:
            return age
        clock = clock_of_texts(source.place, source.zone)
        self.clocks["file"] = clock
        self.troubles["times of the file"] = (tell_skew(clock, off, self.clock), tell_cure(clock))
        return FileAge(age.modified)

    def _tasks(self) -> TaskWork | None:
        """The task table, its times read by what is known of their clock."""
        tasks = self.sources.tasks
        if tasks is None:
            return None
        self._note_clock("tasks", self.memory.task_clocks, tasks.times[0])
        return tasks.read_by(self.memory.task_clocks)

    def _note_clock(self, what: str, clocks: Mapping[str, ColumnClock], column: str | None) -> None:
        clock = clocks.get(column or "")
        if clock is not None and clock.is_naive:
            self.clocks[what] = clock

    async def _read_tasks(
        self, query: Query, tasks: TaskWork | None
    ) -> tuple[list[Work], list[Demand]]:
        if tasks is None:
            return [], []
        if self.memory.tasks_trouble is not None:
            self.troubles["tasks"] = (
                self.memory.tasks_trouble.message,
                self.memory.tasks_trouble.guidance,
            )
            return [], []
        work = await query(tasks.work.sql, tasks.work.params)
        demands = await query(tasks.demands.sql, tasks.demands.params) if tasks.demands else []
        return (
            [Work(row["agent"], row["n"], tuple(row["sample"])) for row in work],
            [
                Demand(read_capabilities(row["required"]), row["n"], tuple(row["sample"]))
                for row in demands
            ],
        )

    async def _prove(self, client: PostgresClient, table: AgentTable | None) -> None:
        """Once a minute: do we see the rows, and can the task table be polled? Raises NotMeasurable
        with the remedy.
        """
        memory, tasks = self.memory, self.sources.tasks
        if not memory.is_due("proof", PROVE_EVERY, self.monotonic):
            return
        if table is not None:
            await prove_visible(client.query, Relation.of(table.table))
            await prove_columns(client.query, table.table, table.columns, table.times)
            memory.agent_clocks = await find_clocks(
                client.query, table.table, table.times, table.zone
            )
        if tasks is not None:
            memory.task_clocks = {}
            memory.tasks_trouble = await _find_trouble(client, tasks, memory)
        memory.ran["proof"] = self.monotonic

    async def _refresh_done(self, client: PostgresClient) -> None:
        """Completed tasks by agent, every 10 s: all of them where that is cheap, else those of the
        lookback.
        """
        tasks, memory = self._tasks(), self.memory
        if tasks is None or memory.tasks_trouble is not None:
            return
        if not memory.is_due("done", REFRESH_EVERY, self.monotonic):
            return
        cheap = await _is_cheap(client, tasks.done_ever)
        statement = tasks.done_ever if cheap else tasks.done
        memory.done = {
            row["agent"]: row["n"] for row in await client.query(statement.sql, statement.params)
        }
        memory.done_since = "ever" if cheap else "lookback"
        memory.ran["done"] = self.monotonic

    def _database(self) -> PostgresClient:
        if self.database is None:
            raise NotMeasurable("no PostgreSQL resource for this check", "name one as database")
        return self.database


async def _find_trouble(
    client: PostgresClient, tasks: TaskWork, memory: RegistryMemory
) -> SubjectError | None:
    """What is wrong with the task table alone, and its clocks where nothing is; the registry is
    compared without it.
    """
    try:
        await prove_visible(client.query, Relation.of(tasks.table))
        await prove_columns(client.query, tasks.table, tasks.columns, tasks.times)
        memory.task_clocks = await find_clocks(client.query, tasks.table, tasks.times, tasks.zone)
    except SubjectError as error:
        return error
    known = tasks.read_by(memory.task_clocks)
    for statement in (known.work, known.demands):
        if statement is not None:
            await refuse_large_scan(
                client.query, statement.sql, dict(statement.params), tasks.indexed
            )
    return None


async def _is_cheap(client: PostgresClient, statement: Statement) -> bool:
    scans = await find_scans(client.query, statement.sql, dict(statement.params))
    return all(scan.cost <= _CHEAP for scan in scans)


def _in_both(before: Sequence[Work], after: Sequence[Work]) -> list[Work]:
    """Work that was there before the registry was read and still was after it: neither just given
    nor just done.
    """
    known = {work.agent: work for work in before}
    found: list[Work] = []
    for work in after:
        if (first := known.get(work.agent)) is not None:
            found.append(Work(work.agent, min(work.count, first.count), work.sample))
    return found
