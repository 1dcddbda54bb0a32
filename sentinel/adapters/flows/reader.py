"""Reads all tables of flows in one snapshot: open rows, rows that left, masters beside children,
the workers.

A table of children that can't be read is set aside with its reason; the others are judged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

from sentinel.adapters.agents.queries import select_agents
from sentinel.adapters.columns import find_clocks, prove_columns
from sentinel.adapters.flows.lines import read_finished, read_line, read_master, read_sight
from sentinel.adapters.flows.queries import (
    JOINED,
    Statements,
    make_statements,
    read_lines,
    refuse_scans,
)
from sentinel.adapters.flows.table import FlowSource, FlowTable, Link, prove_phases
from sentinel.adapters.flows.work import WorkQuestion, prove_work
from sentinel.adapters.postgres import Query
from sentinel.adapters.relation import Relation, prove_visible
from sentinel.core.flows.beat import BeatWatch
from sentinel.core.flows.clock import TimeColumns
from sentinel.core.flows.evidence import find_work
from sentinel.core.flows.family import FinishedChild, Kin
from sentinel.core.flows.history import FlowLook, History
from sentinel.core.flows.lasting import Family
from sentinel.core.flows.stuck import Crew, FlowSight, Worker
from sentinel.errors import NotMeasurable, SubjectError, TargetError, TargetRejected

NOW = "SELECT extract(epoch FROM clock_timestamp())::float8 AS now"
T = TypeVar("T")
Pair = tuple[FlowSight, FlowSight | None]
"""A flow, and its master where it has one."""


class Lines(Generic[T]):
    """What was read of each line at the last look: a line that is there again is not read again."""

    def __init__(self) -> None:
        self._known: dict[str, T] = {}

    def read(self, lines: Sequence[str], parse: Callable[[Any], T]) -> list[T]:
        """One value for each line; the same object as at the last look where the line is the same."""
        known = self._known
        self._known = {
            line: known[line] if line in known else parse(read_line(line)) for line in lines
        }
        return list(self._known.values())


@dataclass(slots=True)
class Sheet:
    """What is kept of one source between looks: its statements, or why there are none; its lines."""

    statements: Statements = field(default_factory=Statements)
    columns: TimeColumns = field(default_factory=TimeColumns)
    trouble: TargetError | None = None
    rows: Lines[Pair] = field(default_factory=Lines)
    kin: Lines[tuple[str, FlowSight | None]] = field(default_factory=Lines)
    done: Lines[FinishedChild] = field(default_factory=Lines)
    work: WorkQuestion | None = None


@dataclass(slots=True)
class FlowReading:
    """What one run read; a look is None where a table could not be read. `now`: Unix seconds of the
    server.

    `looks`: one for each source that is no child in the master's own table. `troubles`: table →
    (problem, remedy).
    """

    now: float
    looks: list[FlowLook | None] = field(default_factory=list)
    families: list[Family] = field(default_factory=list)
    troubles: dict[str, tuple[str, str]] = field(default_factory=dict)


async def prove_sources(query: Query, sources: Sequence[FlowSource]) -> list[Sheet]:
    """Statements for tables that are there, whose rows we see (R15), with indexes. Raises with the
    remedy.

    For the master's table; what is wrong with a table of children becomes its sheet's trouble.
    """
    master = sources[0]
    keys = sorted({source.master_key for source in sources[1:]})
    types, table = await _prove(query, master, keys)
    master = replace(master, table=table)
    sheets = [Sheet(make_statements(table, types), table.time_columns)]
    await refuse_scans(query, table, sheets[0].statements)
    for source in sources[1:]:
        found = await apart(query, partial(_prove_child, query, master, types, source))
        sheets.append(Sheet(trouble=found) if isinstance(found, TargetError) else found)
    return sheets


async def _prove(
    query: Query, source: FlowSource, more: Sequence[str]
) -> tuple[dict[str, str], FlowTable]:
    """Column → SQL type, and the table with the clocks of its times."""
    table = source.table
    await prove_visible(query, Relation.of(table.table))
    types = await prove_columns(query, table.table, [*table.columns, *more], table.times)
    prove_phases(table, types)
    clocks = await find_clocks(query, table.table, table.times, table.zone)
    return types, replace(table, clocks=clocks)


async def _prove_child(
    query: Query, master: FlowSource, master_types: Mapping[str, str], child: FlowSource
) -> Sheet:
    types, table = await _prove(query, child, child.join)
    compared = {types[name] for name in child.join} | {master_types[child.master_key]}
    link = Link(master.table, child.master_key, child.join, len(compared) > 1, child.is_own)
    statements = make_statements(table, types, link)
    await refuse_scans(query, table, statements, link)
    key, rows = types[table.id], child.rows
    work = None if rows is None else await prove_work(query, rows, key)
    return Sheet(statements, table.time_columns, work=work)


async def apart(query: Query, work: Callable[[], Awaitable[T]]) -> T | TargetError:
    """Work whose failure leaves the snapshot usable; an error that belongs to its subject alone is
    the value.
    """
    await query("SAVEPOINT apart")
    try:
        return await work()
    except (SubjectError, NotMeasurable, TargetRejected) as error:
        await query("ROLLBACK TO SAVEPOINT apart")
        return explain(error)


def explain(error: TargetError) -> TargetError:
    """A value that does not fit its mapping is the mapping's fault, not the server's; so is one
    that is nested too deep, or too large.
    """
    if isinstance(error, TargetRejected) and error.code.startswith(("22", "54")):
        return SubjectError(
            f"a value is not what the mapping says: {error.message}", "correct the mapping"
        )
    return error


async def read_flows(
    query: Query,
    sources: Sequence[FlowSource],
    sheets: Sequence[Sheet],
    history: History,
    limit: int,
) -> FlowReading:
    """Read every table: at most `limit` open flows each, oldest first, and what became of those
    open before.
    """
    reading = FlowReading((await query(NOW))[0]["now"])
    reader = _Reader(query, sources[0], history, limit, reading)
    masters = await reader.read_master(sheets[0])
    for source, sheet in zip(sources[1:], sheets[1:], strict=True):
        found: Family | TargetError | None = sheet.trouble
        if found is None:
            found = await apart(query, partial(reader.read_child, source, sheet, masters))
        if isinstance(found, TargetError):
            reading.troubles[source.name] = (found.message, found.guidance)
            reading.looks += [] if source.is_own else [None]
        else:
            reading.families.append(found)
    return reading


@dataclass(frozen=True, slots=True)
class _Reader:
    """One run over all tables; what it reads goes into `reading`."""

    query: Query
    master: FlowSource
    history: History
    limit: int
    reading: FlowReading

    async def read_master(self, sheet: Sheet) -> dict[str, FlowSight]:
        """The master's open flows by id."""
        pairs, look = await self._read_open(
            self.master, sheet, lambda row: (read_sight(row, self.master), None)
        )
        self.reading.looks.append(look)
        return {sight.id: sight for sight, _ in pairs}

    async def read_child(
        self, child: FlowSource, sheet: Sheet, masters: Mapping[str, FlowSight]
    ) -> Family:
        """One table of children beside their masters."""
        home, look = len(self.reading.looks), None
        if child.is_own:
            home, pairs = 0, await self._read_own(sheet, masters)
        else:
            pairs, look = await self._read_kin(child, sheet)
        kin = await self._find_work(child, sheet, pairs)
        lines = await read_lines(self.query, sheet.statements.finished, {"limit": JOINED})
        done = sheet.done.read(lines, lambda row: read_finished(row, self.master, child))
        if look is not None:
            self.reading.looks.append(look)
        return Family(kin, done, child.need_master, home)

    async def _read_open(
        self, source: FlowSource, sheet: Sheet, parse: Callable[[Any], Pair]
    ) -> tuple[list[Pair], FlowLook]:
        lines = await read_lines(self.query, sheet.statements.open, {"limit": self.limit + 1})
        pairs = sheet.rows.read(lines[: self.limit], parse)
        sights = {sight.id: sight for sight, _ in pairs}
        past = self.history.tables.get(source.name)
        left = [key for key in past.flows if key not in sights] if past is not None else []
        gone = await read_lines(self.query, sheet.statements.gone, {"ids": left}) if left else []
        over = [read_sight(read_line(line), source) for line in gone]
        return pairs, FlowLook(
            self.reading.now, list(sights.values()), over, len(lines) <= self.limit
        )

    async def _read_kin(self, child: FlowSource, sheet: Sheet) -> tuple[list[Pair], FlowLook]:
        def parse(row: Any) -> Pair:
            return read_sight(row[0], child), read_master(row[1], self.master)

        return await self._read_open(child, sheet, parse)

    async def _read_own(self, sheet: Sheet, masters: Mapping[str, FlowSight]) -> list[Pair]:
        """Children that are rows of the master's table: what was read there, with the master of
        each.
        """
        lines = await read_lines(self.query, sheet.statements.kin, {"limit": self.limit})
        pairs = sheet.kin.read(lines, lambda row: (row[0], read_master(row[1], self.master)))
        return [(masters[key], parent) for key, parent in pairs if key in masters]

    async def _find_work(self, child: FlowSource, sheet: Sheet, pairs: Sequence[Pair]) -> list[Kin]:
        """Each child with what proves that it works, its row, or one of another table; asked where
        the master says that nothing has begun.
        """
        kin, asked, initial = [], [], self.master.initial
        for sight, master in pairs:
            work = ""
            if master is not None and master.status == initial:
                work = find_work(sight, child.signs)
                asked += [] if work else [sight.id]
            kin.append(Kin(sight, master, work))
        if sheet.work is None or child.rows is None:
            return kin
        having = await sheet.work.ask(self.query, asked)
        evidence = f"it has a row in {child.rows.table}"
        return [replace(each, work=evidence) if each.child.id in having else each for each in kin]


@dataclass(frozen=True, slots=True)
class CrewSource:
    """The registry of workers: columns id, status, last_heartbeat, and name where there is one;
    `ttl` in seconds, `zone` as declared.
    """

    table: str
    columns: Mapping[str, str | None]
    sleeping: Sequence[str]
    ttl: float
    zone: str | None = None


async def read_crew(query: Query, source: CrewSource, beats: BeatWatch) -> Crew:
    """The registry of workers as far as their heartbeats can be believed."""
    table, columns = source.table, source.columns
    beat = columns["last_heartbeat"]
    await prove_visible(query, Relation.of(table))
    read = [columns["id"], columns["status"], columns["name"]]
    await prove_columns(query, table, read, [beat])
    clocks = await find_clocks(query, table, [beat], source.zone)
    clock = clocks.get(beat or "")
    select = select_agents(table, {**columns, "capabilities": None, "registered_at": None}, clocks)
    asleep = {status.lower() for status in source.sleeping}
    workers = {}
    for row in await query(select.sql, select.params):
        age = None if row["beat"] is None else row["now"] - row["beat"]
        worker = Worker(age, row["status"] in asleep, row["name"] or "")
        workers[row["id"]] = beats.look(row["id"], worker, clock, row["now"], source.ttl)
    beats.forget_all_but(workers)
    return Crew(table, workers, source.ttl, clock)


async def read_crew_apart(query: Query, source: CrewSource, beats: BeatWatch) -> Crew | TargetError:
    """The same; what is wrong with that table alone is the value."""
    return await apart(query, partial(read_crew, query, source, beats))
