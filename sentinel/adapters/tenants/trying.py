"""Trying to get at another tenant's rows, as a role of the application: counted, never fetched, and
always rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.adapters.postgres import Query
from sentinel.adapters.relation import quote_name
from sentinel.adapters.tenants import queries
from sentinel.adapters.tenants.catalogue import read_sessions
from sentinel.core.tenants.catalogue import DatabaseRole
from sentinel.core.tenants.finding import COUNTED, TenantSight
from sentinel.errors import NotMeasurable, SubjectError, TargetError, TargetRejected

MAX_TABLES = 1000
_FAILS_CLOSED = {"22P02", "42704", "22003"}
_REFUSED = "42501"


@dataclass(frozen=True, slots=True)
class TriedTable:
    """A table that has the tenant column; `quoted` as a statement with parameters needs it."""

    oid: int
    name: str
    quoted: str
    type: str


@dataclass(frozen=True, slots=True)
class TenantSurvey:
    """What there is to try: tables with the column, roles of the application, of which sentinel may
    take some, and settings that were set when the session began.
    """

    version: int
    me: str
    tables: Sequence[TriedTable]
    roles: Sequence[DatabaseRole]
    takes: frozenset[str]
    left: Sequence[str]


@dataclass(frozen=True, slots=True)
class TenantWish:
    """What to look at. `settings`: name → what tenants A and B set."""

    column: str
    settings: Mapping[str, tuple[str, str]]
    roles: Sequence[str] = ()
    excepted: Sequence[str] = ()


async def survey(query: Query, wish: TenantWish) -> TenantSurvey:
    """Look around, in the first transaction of a session."""
    left = await query(queries.LEFT, {"settings": list(wish.settings)})
    server = (await query(queries.SERVER, {}))[0]
    sessions = await read_sessions(query, wish.excepted)
    names = [n for n in dict.fromkeys([*wish.roles, *sessions]) if n not in wish.excepted]
    take = "'SET'" if server["version"] >= 160000 else "'MEMBER'"
    sql = queries.ROLES.replace("{take}", take)
    found = await query(sql, {"names": names, "roles": [], "limit": 500})
    roles = [
        DatabaseRole(
            row["oid"],
            row["name"],
            row["superuser"],
            row["bypass"],
            sessions=sessions.get(row["name"], 0),
        )
        for row in found
    ]
    known = {role.name for role in roles}
    roles += [DatabaseRole(0, name) for name in names if name not in known]
    tables = await query(queries.TABLES, {"column": wish.column, "limit": MAX_TABLES})
    takes = {role.name for role in roles if role.oid and await _takes(query, role.name)}
    return TenantSurvey(
        server["version"],
        server["me"],
        [
            TriedTable(r["oid"], r["name"], r["quoted"].replace("%", "%%"), r["type"])
            for r in tables
        ],
        roles,
        frozenset(takes),
        [row["setting"] for row in left],
    )


async def _takes(query: Query, role: str) -> bool:
    await query("SAVEPOINT role", {})
    try:
        await query(f"SET LOCAL ROLE {quote_name(role)}", {})
    except NotMeasurable as error:
        if error.code != _REFUSED:
            raise
        return False
    finally:
        await query("ROLLBACK TO SAVEPOINT role", {})
    return True


async def enter(query: Query, role: str, settings: Mapping[str, str]) -> None:
    """Become a role, with these settings, until the transaction ends."""
    await query(f"SET LOCAL ROLE {quote_name(role)}", {})
    for name, value in settings.items():
        sql = "SELECT set_config(%(name)s, %(value)s, true)"
        await query(sql, {"name": name, "value": value})


async def count_rows(query: Query, table: TriedTable) -> int | TargetError:
    """How many rows are visible, at most `COUNTED`; an error about the missing tenant is none."""
    sql = f"SELECT count(*) AS n FROM (SELECT 1 FROM {table.quoted} LIMIT {COUNTED}) AS found"  # noqa: S608
    rows = await _guarded(query, sql, {})
    if isinstance(rows, TargetError):
        return 0 if rows.code in _FAILS_CLOSED else rows
    return int(rows[0]["n"])


async def see(
    query: Query, table: TriedTable, column: str, tenant: str
) -> TenantSight | TargetError:
    """What the tenant that is set sees of a table."""
    counted = (
        f"SELECT count(*) FROM (SELECT 1 FROM {table.quoted} WHERE {quote_name(column)}"  # noqa: S608
        f" {{}} %(tenant)s LIMIT {COUNTED}) AS found"
    )
    sql = (
        f"SELECT row_security_active(%(oid)s::oid) AS active, ({counted.format('=')}) AS own,"
        f" ({counted.format('IS DISTINCT FROM')}) AS foreign"
    )
    rows = await _guarded(query, sql, {"tenant": tenant, "oid": table.oid})
    if isinstance(rows, TargetError):
        return rows
    return TenantSight(int(rows[0]["own"]), int(rows[0]["foreign"]), bool(rows[0]["active"]))


async def _guarded(
    query: Query, sql: str, given: Mapping[str, Any]
) -> list[dict[str, Any]] | TargetError:
    """An error of one table stops none of the others; what says nothing of it is raised."""
    await query("SAVEPOINT tried", {})
    try:
        return await query(sql, given)
    except (SubjectError, NotMeasurable, TargetRejected) as error:
        return error
    finally:
        await query("ROLLBACK TO SAVEPOINT tried", {})


@dataclass(frozen=True, slots=True)
class WriteTrial:
    """What came of writing across tenants: each way that was `open`, those that were `tried`, and an
    error that shows neither.
    """

    tried: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    error: TargetError | None = None


async def try_writing(
    query: Query, table: TriedTable, column: str, tenants: tuple[str, str]
) -> WriteTrial:
    """As tenant A: write a row for B (a copy of one of A's), change and delete one of B.

    The row-level check comes before every constraint, so that a violated constraint means that the
    check let it pass. What an UPDATE without WHERE would do is not tried, for it may be a whole
    table: `tenant_audit` with `evaluate` tells it.
    """
    rights = await _guarded(query, queries.WRITABLE, {"oid": table.oid, "column": column})
    if isinstance(rights, TargetError):
        return WriteTrial(error=rights)
    tried: list[str] = []
    open_ones: list[str] = []
    for name, sql in _write_statements(table, column, rights[0]).items():
        given = {"a": tenants[0], "b": tenants[1]}
        passed = await _passes(query, sql, given, name)
        if isinstance(passed, TargetError):
            return WriteTrial(tuple(tried), tuple(open_ones), passed)
        tried.append(name)
        open_ones += [name] if passed else []
    return WriteTrial(tuple(tried), tuple(open_ones))


def _write_statements(table: TriedTable, column: str, rights: Mapping[str, Any]) -> dict[str, str]:
    """The statements that the role has a right for."""
    own, name = quote_name(column), table.quoted
    columns = [quote_name(each) for each in rights["columns"]]
    values = [f"%(b)s::{table.type}" if each == own else each for each in columns]
    one = f"(tableoid, ctid) IN (SELECT tableoid, ctid FROM {name} WHERE {own} = %({{}})s LIMIT 1)"  # noqa: S608
    found = {}
    if rights["inserts"]:
        found["insert"] = (
            f"INSERT INTO {name} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE"  # noqa: S608
            f" SELECT {', '.join(values)} FROM {name} WHERE {own} = %(a)s LIMIT 1"
        )
    if rights["updates"]:
        found["update"] = (
            f"UPDATE {name} SET {own} = {own} WHERE {one.format('b')} RETURNING 1 AS n"  # noqa: S608
        )
    if rights["deletes"]:
        found["delete"] = f"DELETE FROM {name} WHERE {one.format('b')} RETURNING 1 AS n"  # noqa: S608
    return found


async def _passes(
    query: Query, sql: str, given: Mapping[str, str], name: str
) -> bool | TargetError:
    """Whether a row of another tenant was written; each statement is undone."""
    await query("SAVEPOINT written", {})
    try:
        return bool(await query(sql, given)) or name == "insert"
    except (SubjectError, NotMeasurable, TargetRejected) as error:
        if error.code == _REFUSED:
            return False
        return True if error.code.startswith("23") else error
    finally:
        await query("ROLLBACK TO SAVEPOINT written", {})
