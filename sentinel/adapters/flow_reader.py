"""Reads all tables of flows in one snapshot: open rows, rows that left, masters beside children, the workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sentinel.adapters.flow_queries import (
    JOINED,
    FlowTable,
    Link,
    Statements,
    make_statements,
    read_sight,
    read_types,
    refuse_scans,
)
from sentinel.adapters.postgres import Query, Record
from sentinel.adapters.registry_queries import select_agents
from sentinel.adapters.relation import Relation, prove_visible
from sentinel.core.flow_family import Done, Kin
from sentinel.core.flow_history import History, Look
from sentinel.core.flow_verdict import Family
from sentinel.core.stall import Crew, Sight, Worker

NOW = "SELECT extract(epoch FROM now())::float8 AS now"


@dataclass(frozen=True, slots=True)
class Source:
    """One table, by its `name` in the history. `aliases` maps status texts; `type` None: a column tells it.

    For a child: `join` names the columns that name the master's `master_key`.
    """

    name: str
    table: FlowTable
    aliases: Mapping[str, str]
    type: str | None
    initial: str
    join: Sequence[str] = ()
    master_key: str = ""
    need_master: bool = True


@dataclass(slots=True)
class Reading:
    """What one run read; `families` belong to the tables after the first. `now`: Unix seconds of the server."""

    now: float
    looks: list[Look] = field(default_factory=list)
    families: list[Family] = field(default_factory=list)


async def prove_sources(query: Query, sources: Sequence[Source]) -> list[Statements]:
    """Statements for tables that are there, whose rows we see (R15), with indexes. Raises with the remedy."""
    master = sources[0]
    keys = sorted({source.master_key for source in sources[1:]})
    made: list[Statements] = []
    master_types: dict[str, str] = {}
    for source in sources:
        await prove_visible(query, Relation.of(source.table.table))
        types = await read_types(query, source.table, source.join or keys)
        link = None
        if source.join:
            compared = {types[name] for name in source.join} | {master_types[source.master_key]}
            link = Link(master.table, source.master_key, source.join, len(compared) > 1)
        else:
            master_types = types
        made.append(make_statements(source.table, types, link))
        await refuse_scans(query, source.table, made[-1], link)
    return made


async def read_flows(
    query: Query, sources: Sequence[Source], statements: Sequence[Statements], history: History, limit: int
) -> Reading:
    """Read every table: at most `limit` open flows each, oldest first, and what became of those open before."""
    reading = Reading((await query(NOW))[0]["now"])
    for source, statement in zip(sources, statements, strict=True):
        rows = await query(statement.open, {"limit": limit + 1})
        sights = {row["id"]: read_sight(row, source.aliases, source.type) for row in rows[:limit]}
        gone = await _read_gone(query, source, statement, history, sights)
        reading.looks.append(Look(reading.now, list(sights.values()), gone, len(rows) <= limit))
        if source.join:
            kin = [_read_kin(sources[0], source, sights[row["id"]], row) for row in rows[:limit]]
            done = [_read_done(sources[0], source, row) for row in await query(statement.finished, {"limit": JOINED})]
            reading.families.append(Family(kin, done, source.need_master))
    return reading


async def _read_gone(
    query: Query, source: Source, statement: Statements, history: History, sights: Mapping[str, Sight]
) -> list[Sight]:
    past = history.tables.get(source.name)
    left = [key for key in past.flows if key not in sights] if past is not None else []
    rows = await query(statement.gone, {"ids": left}) if left else []
    return [read_sight(row, source.aliases, source.type) for row in rows]


def _read_kin(master: Source, child: Source, sight: Sight, row: Record) -> Kin:
    begun = sight.status != child.initial
    if row["master_key"] is None:
        return Kin(sight, None, begun)
    status = row["master_status"] or ""
    type_ = (row["master_type"] or "") if master.type is None else master.type
    ages = row["master_created"], row["master_changed"]
    return Kin(sight, Sight(row["master_id"], type_, master.aliases.get(status, status), sight.now, *ages), begun)


def _read_done(master: Source, child: Source, row: Record) -> Done:
    status = row["child_status"] or ""
    sight = read_sight(row, master.aliases, master.type)
    return Done(sight, row["child"], child.aliases.get(status, status), row["child_changed"])


async def read_crew(query: Query, table: str, columns: Mapping[str, str], sleeping: Sequence[str], ttl: float) -> Crew:
    """The registry of workers; `columns`: id, status, last_heartbeat. `ttl` in seconds."""
    await prove_visible(query, Relation.of(table))
    select = select_agents(table, {**columns, "capabilities": None, "registered_at": None})
    asleep = {status.lower() for status in sleeping}
    workers = {
        row["id"]: Worker(None if row["beat"] is None else row["now"] - row["beat"], row["status"] in asleep)
        for row in await query(select.sql, select.params)
    }
    return Crew(table, workers, ttl)
