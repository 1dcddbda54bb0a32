"""The statements about agents and their work (measurement.md §4). Identifiers are quoted in, values
are parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sentinel.adapters.columns import as_instant, as_wall
from sentinel.adapters.relation import Relation, Statement, fill, quote_name
from sentinel.core.agents.capability import read_capabilities
from sentinel.core.agents.registration import Registration
from sentinel.core.moment.skew import Basis, ColumnClock

MAX_AGENTS = 20_000
MAX_DEMANDS = 1_000

Clocks = Mapping[str, ColumnClock]
"""Column → the clock by which it is written."""
_UNKNOWN: Clocks = {}

_AGENTS = """
SELECT {id}::text AS id, lower({status}::text) AS status, extract(epoch FROM {last_heartbeat})::float8 AS beat,
       to_jsonb({capabilities}) AS capabilities, extract(epoch FROM {registered_at})::float8 AS registered,
       {boot_id}::text AS boot, left({name}::text, 200) AS name,
       extract(epoch FROM clock_timestamp())::float8 AS now
FROM {table} LIMIT %(limit)s
"""
_WORK = """
SELECT {agent}::text AS agent, count(*) AS n, (array_agg({id}::text))[1:20] AS sample
FROM {table} WHERE {agent} IS NOT NULL AND lower({status}::text) = ANY (%(open)s) AND {recent} GROUP BY 1
"""
_DEMANDS = """
SELECT to_jsonb({required}) AS required, count(*) AS n, (array_agg({id}::text))[1:20] AS sample
FROM {table} WHERE lower({status}::text) = ANY (%(pending)s) AND {recent} GROUP BY 1 LIMIT %(limit)s
"""
_DONE = """
SELECT {agent}::text AS agent, count(*) AS n FROM {table}
WHERE {agent} IS NOT NULL AND lower({status}::text) = ANY (%(completed)s) AND {recent} GROUP BY 1
"""


def select_agents(
    table: str, columns: Mapping[str, str | None], clocks: Clocks = _UNKNOWN
) -> Statement:
    """All registry rows: id, status in lower case, capabilities (JSON), boot, name; beat,
    registered, now in Unix seconds, columns without a zone as `clocks` say.
    """

    def instant(name: str) -> str:
        column = columns[name]
        return as_instant(_column(column, "timestamptz"), clocks.get(column or ""))

    names = {
        "table": str(Relation.of(table)),
        "id": quote_name(columns["id"] or ""),
        "status": quote_name(columns["status"] or ""),
        "last_heartbeat": instant("last_heartbeat"),
        "registered_at": instant("registered_at"),
        "capabilities": _column(columns["capabilities"], "text"),
        "boot_id": _column(columns.get("boot_id"), "text"),
        "name": _column(columns.get("name"), "text"),
    }
    return Statement(fill(_AGENTS, names), {"limit": MAX_AGENTS})


@dataclass(frozen=True, slots=True)
class AgentTable:
    """A registry that is a table or view. `names`: columns of id, status and what else is
    configured; `zone`: as declared, of its times without one.
    """

    table: str
    names: Mapping[str, str | None]
    zone: str | None = None

    def select(self, clocks: Clocks) -> Statement:
        """All rows."""
        return select_agents(self.table, self.names, clocks)

    @property
    def columns(self) -> list[str | None]:
        """Every column that is read."""
        read = ("id", "status", "capabilities", "boot_id", "name")
        return [self.names.get(name) for name in read]

    @property
    def times(self) -> list[str | None]:
        """Columns that must be times."""
        return [self.names.get(name) for name in ("last_heartbeat", "registered_at")]


def read_table_row(row: Mapping[str, Any]) -> Registration:
    """A row of `select_agents`."""
    capabilities = read_capabilities(row["capabilities"])
    return Registration(
        row["id"] or "",
        row["status"] or "",
        row["beat"],
        capabilities,
        row["registered"],
        row["boot"] or "",
        name=row["name"] or "",
    )


def since_lookback(created: str | None, value: str, clocks: Clocks) -> str:
    """The condition that a row was created within the `lookback` seconds of the parameters; `value`
    is the column `created` in SQL. Where those who write have several zones, of the one that
    reaches back the furthest.
    """
    if not created:
        return "true"
    # why not clock_timestamp(): no index serves what is volatile
    start = "statement_timestamp() - make_interval(secs => %(lookback)s)"
    clock = clocks.get(created)
    if clock is not None and clock.is_naive:
        zones = clock.zones if clock.basis is Basis.DISAGREED else (clock.zone,)
        walls = [as_wall(start, replace(clock, zone=zone)) for zone in zones]
        start = f"least({', '.join(walls)})" if len(walls) > 1 else walls[0]
    return f"{value} >= {start}"


class TaskWork:
    """Statements about tasks by agent; `lookback` seconds bound them where `created_at` is
    configured. `zone`: as declared, of its times without one; `clocks`: what is known of them.
    """

    def __init__(
        self,
        table: str,
        columns: Mapping[str, str | None],
        statuses: Mapping[str, Sequence[str]],
        lookback: float,
        zone: str | None = None,
        clocks: Clocks = _UNKNOWN,
    ) -> None:
        created = columns["created_at"]
        self.table, self.zone = table, zone
        self._named = (table, columns, statuses, lookback, zone)
        self.columns = [
            columns[name] for name in ("id", "status", "agent", "required_capabilities")
        ]
        self.times = [created]
        self.indexed = created or columns["agent"] or ""
        names = {
            "table": str(Relation.of(table)),
            "id": quote_name(columns["id"] or ""),
            "status": quote_name(columns["status"] or ""),
            "agent": quote_name(columns["agent"] or ""),
            "required": _column(columns["required_capabilities"], "text"),
            "recent": since_lookback(created, quote_name(created or ""), clocks),
        }
        lowered = {name: [status.lower() for status in known] for name, known in statuses.items()}
        params = {**lowered, "lookback": lookback, "limit": MAX_DEMANDS}
        self.work = Statement(fill(_WORK, names), params)
        self.done = Statement(fill(_DONE, names), params)
        self.done_ever = Statement(fill(_DONE, {**names, "recent": "true"}), params)
        self.demands = (
            Statement(fill(_DEMANDS, names), params) if columns["required_capabilities"] else None
        )

    def read_by(self, clocks: Clocks) -> TaskWork:
        """The same, with times as these clocks say."""
        return TaskWork(*self._named, clocks)


def _column(name: str | None, type_: str) -> str:
    return quote_name(name) if name else f"NULL::{type_}"
