"""Reading tasks: proofs that a poll sees everything and costs little, the commit horizon, the
tracker's snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.relation import (
    Query,
    Relation,
    explain,
    prove_visible,
    quote_name,
    refuse_large_scan,
)
from sentinel.adapters.tasks.queries import HORIZON, INSERTED, TYPE_OF, TaskStatements
from sentinel.core.tasks.assignment import SHOWN_WITHIN, Horizon
from sentinel.core.tasks.fairness import Spread, TenantWait
from sentinel.core.tasks.ledger import BACK, AxisLedger, Counted
from sentinel.core.tasks.state import TaskReach
from sentinel.core.tasks.tracker import (
    MAX_ARRIVALS,
    MAX_OPEN,
    OVERLAP,
    TaskPoll,
    TaskSight,
    Tracker,
)
from sentinel.errors import NotMeasurable, SubjectError

AFFORDABLE = 12_500.0
"""Planner cost of a statement that runs twice a minute at most: below 100 ms for a million tasks in
memory. A fifth of it for tenants, whose quantiles the planner thinks cheaper than they are."""
LEAST_REACH = 60.0
SCAN_LIMIT = 5_000.0
_INSTANT = timedelta(microseconds=1)


# --- proofs -------------------------------------------------------------------------------------


async def prove_readable(query: Query, statements: TaskStatements, now: datetime) -> None:
    """Do we see the rows, and is there an index on the time of creation? Raises NotMeasurable with
    the remedy.
    """
    await prove_visible(query, Relation.of(statements.table.table))
    # so narrow that any index on it is chosen
    params = statements.within(now - timedelta(milliseconds=1), now, limit=1)
    for sql in (statements.settle, statements.stages):
        if sql:
            await refuse_large_scan(query, sql, params, statements.table.created_at)


async def prove_followable(query: Query, statements: TaskStatements, now: datetime) -> str:
    """Can tasks be looked up by id, and new ones by time? The type of the id column. Raises as
    `prove_readable`.
    """
    tasks = statements.table
    params = statements.within(now - timedelta(milliseconds=1), now, limit=1)
    await refuse_large_scan(query, statements.arrivals, params, tasks.created_at)
    type_ = await find_id_type(query, statements)
    if not type_:
        raise SubjectError(
            f"no such column: {tasks.id} of {tasks.table}",
            "name the column of the task's id: columns.id",
        )
    await _refuse_lookup(query, statements, type_)
    return type_


async def find_id_type(query: Query, statements: TaskStatements) -> str:
    """The type of the id column, "" where the table has none of that name."""
    tasks, relation = statements.table, Relation.of(statements.table.table)
    names = {"schema": relation.schema, "name": relation.name, "column": tasks.id}
    found = await query(TYPE_OF, names)
    return str(found[0]["type"]) if found else ""


async def _refuse_lookup(query: Query, statements: TaskStatements, type_: str) -> None:
    empty: list[str] = []
    params = {**statements.looking_up(empty), "limit": 1}
    for node in await explain(query, statements.sights(type_), params):
        if node["Node Type"] == "Seq Scan" and node["Total Cost"] > SCAN_LIMIT:
            relation = Relation(node.get("Schema", "public"), node["Relation Name"])
            column = quote_name(statements.table.id)
            raise NotMeasurable(
                f"refused to poll: {relation.schema}.{relation.name} has no usable index on"
                f" {statements.table.id} (planner cost {node['Total Cost']:.0f})",
                f"CREATE INDEX CONCURRENTLY ON {relation} ({column});".replace("%%", "%"),
            )


async def find_reach(
    query: Query, sql: str, params: Callable[[float], dict[str, Any]], seconds: float, cost: float
) -> float:
    """For how many seconds back `sql` is affordable by its plan: `seconds`, or a half, a quarter …
    of it.
    """
    while seconds > LEAST_REACH:
        root, *_ = await explain(query, sql, params(seconds))
        if root["Total Cost"] <= cost:
            break
        seconds = max(LEAST_REACH, seconds / 2)
    return seconds


async def find_reaches(
    query: Query, statements: TaskStatements, now: datetime, lookback: float, window: float
) -> TaskReach:
    """`lookback` is for open tasks, and for the creation of those whose throughput is counted;
    `window` for tenants.
    """
    since = partial(statements.back, now)
    found = {
        "open": await find_reach(query, statements.open, since, lookback, AFFORDABLE),
        "throughput": await find_reach(query, statements.throughput, since, lookback, AFFORDABLE),
    }
    found["look"] = await find_reach(
        query, statements.look, partial(statements.back, now, edges=[0.0, 1.0]), BACK, AFFORDABLE
    )
    if statements.tenants:
        since = partial(statements.back, now, oldest=now - timedelta(seconds=found["open"]))
        seconds = min(window, found["open"])
        found["tenants"] = await find_reach(
            query, statements.tenants, since, seconds, AFFORDABLE / 5
        )
    wanted = {
        "open": lookback,
        "throughput": lookback,
        "tenants": min(window, lookback),
        "look": BACK,
    }
    shortened = tuple(name for name, seconds in found.items() if seconds < wanted[name])
    advice = await _advise_open_index(query, statements, now) if "open" in shortened else ""
    return TaskReach(**found, shortened=shortened, advice=advice)


async def _advise_open_index(query: Query, statements: TaskStatements, now: datetime) -> str:
    """The index that makes open tasks cheap to find, for the table that is really read."""
    nodes = await explain(query, statements.open, statements.back(now, 60.0))
    found = (
        Relation(n.get("Schema", "public"), n["Relation Name"])
        for n in nodes
        if "Relation Name" in n
    )
    table = next(found, Relation.of(statements.table.table))
    created, assigned = (
        quote_name(statements.table.created_at),
        quote_name(statements.table.assigned_at),
    )
    return f"CREATE INDEX CONCURRENTLY ON {table} ({created}) WHERE {assigned} IS NULL;".replace(
        "%%", "%"
    )


# --- readings -----------------------------------------------------------------------------------


async def read_horizon(query: Query, readonly_roles: Sequence[str]) -> tuple[Horizon, str]:
    """The horizon by a statement of its own: the windows need a snapshot that is younger than it.
    And its holder.
    """
    row = (await query(HORIZON, {"readonly_roles": list(readonly_roles)}))[0]
    if not row["sees_all"]:
        raise NotMeasurable(
            "blind: without pg_monitor the transactions of others, and so the commit horizon, can't"
            " be seen",
            f"GRANT pg_monitor TO {quote_name(row['role']).replace('%%', '%')};",
        )
    return Horizon(row["now"], row["horizon"]), row["holder"] or ""


async def count_inserted(query: Query, table: str) -> int:
    """Rows that were ever inserted into the table, by the server's statistics; 0 for a view."""
    relation = Relation.of(table)
    return int((await query(INSERTED, {"schema": relation.schema, "name": relation.name}))[0]["n"])


Taken = list[tuple[float, float, int]]
"""Stretches of the axis of creation that a poll went past, and how many tasks each has."""


async def read_poll(
    client: PostgresClient,
    statements: TaskStatements,
    id_type: str,
    tracker: Tracker,
    horizon: Horizon,
    lookback: float | None,
    ledger: AxisLedger,
    settle_after: float,
) -> tuple[TaskPoll, Taken]:
    """One snapshot: arrivals since the floor, the followed tasks by id; with `lookback`, open ones
    from before it. Tasks whose times the ledger knows from elsewhere are no arrivals.
    """
    asked = tracker.to_look_up()
    start = horizon.exact if tracker.floor is None else datetime.fromtimestamp(tracker.floor, UTC)
    async with client.snapshot() as query:
        arrivals = await query(
            statements.arrivals, statements.within(start, horizon.now, limit=MAX_ARRIVALS + 1)
        )
        lookup = statements.sights(id_type)
        sights = await query(lookup, statements.looking_up(asked)) if asked else []
        backlog: list[dict[str, Any]] = []
        if lookback is not None:
            for span in statements.elsewhere(start, lookback, horizon.now):
                backlog += await query(statements.backlog, {**span, "limit": MAX_OPEN})
        new, floor = _advance(arrivals, start, horizon)
        parts = ledger.free(statements.axis(start), statements.axis(floor))
        passed = [await _count_part(query, statements, part, arrivals) for part in parts]
    sound: list[dict[str, Any]] = []
    other: list[dict[str, Any]] = []
    for row in new:
        (sound if ledger.is_sound(row["at"]) else other).append(row)
    crowd = sum(n for _, _, n in passed) - len(new) if _is_crowd(arrivals) else 0
    backlog += [row for row in other if row["class"] == "unassigned"]
    poll = make_poll(horizon, floor.timestamp(), settle_after, sound)
    found = [_sight(row) for row in sights]
    earlier_open = [_sight(row) for row in backlog]
    return (
        replace(poll, asked=asked, sights=found, backlog=earlier_open, untracked=max(0, crowd)),
        passed,
    )


async def _count_part(
    query: Query,
    statements: TaskStatements,
    part: tuple[float, float],
    arrivals: Sequence[dict[str, Any]],
) -> tuple[float, float, int]:
    """How many tasks a part of the axis has, of which all arrivals were read but those of a crowd."""
    low, high = part
    if _is_crowd(arrivals):
        return low, high, (await query(statements.count, statements.between(low, high)))[0]["n"]
    return low, high, sum(low <= row["at"] < high for row in arrivals)


def make_poll(
    horizon: Horizon, floor: float, settle_after: float, rows: Sequence[dict[str, Any]]
) -> TaskPoll:
    """A poll that found these rows for the first time; ids are remembered for `settle_after`."""
    return TaskPoll(
        [_sight(row) for row in rows],
        [],
        [],
        final=horizon.exact.timestamp() - SHOWN_WITHIN,
        due=horizon.capped.timestamp(),
        floor=floor,
        keep=floor - settle_after,
    )


async def read_stretch(
    client: PostgresClient, statements: TaskStatements, stretch: Counted
) -> list[dict[str, Any]]:
    """The tasks of a stretch of the axis that was counted before."""
    span = statements.between(stretch.start, stretch.end, limit=MAX_ARRIVALS)
    return await client.query(statements.arrivals, span)


def _is_crowd(arrivals: Sequence[dict[str, Any]]) -> bool:
    """More tasks of one instant than a poll may read: one INSERT of very many rows."""
    return len(arrivals) > MAX_ARRIVALS and arrivals[0]["at"] == arrivals[-1]["at"]


def _advance(
    arrivals: list[dict[str, Any]], start: datetime, horizon: Horizon
) -> tuple[list[dict[str, Any]], datetime]:
    """The rows to take in, and the floor after them: behind the horizon, and not beyond what was
    read.
    """
    floor = max(start, horizon.capped - timedelta(seconds=SHOWN_WITHIN + OVERLAP))
    if len(arrivals) <= MAX_ARRIVALS:
        return arrivals, floor
    # Of equal times some may be missing: they come next.
    last, until = arrivals[-1]["at"], datetime.fromtimestamp(arrivals[-1]["created"], UTC)
    if _is_crowd(arrivals):
        return arrivals[:-1], until + _INSTANT
    return [row for row in arrivals if row["at"] < last], min(floor, until)


def _sight(row: dict[str, Any]) -> TaskSight:
    return TaskSight(
        row["id"],
        row["queue"],
        row["class"],
        row["state"],
        row["created"],
        row["assigned"],
        row["latency"],
        row["now"],
    )


def read_spread(rows: Sequence[dict[str, Any]]) -> Spread:
    """Tenants' waits as the statement `tenants` gives them."""
    if not rows:
        return Spread()
    first = rows[0]
    worst = [
        TenantWait(row["tenant"], row["p90"], row["mean"], row["n"], row["waiting"]) for row in rows
    ]
    return Spread(
        first["tenants"],
        first["tasks"],
        first["best"],
        first["waited"],
        first["means"],
        first["squares"],
        worst,
    )
