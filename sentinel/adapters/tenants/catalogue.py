"""Reading everything that the rules about tenants look at, in one snapshot of the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.adapters.postgres import PostgresClient, Query
from sentinel.adapters.tenants import queries
from sentinel.core.tenants.catalogue import (
    Catalogue,
    DatabaseRole,
    RowPolicy,
    ServerFunction,
    SettingPreset,
    TableRight,
    TenantIndex,
    TenantLink,
    TenantRelation,
)
from sentinel.errors import NotMeasurable

MAX_RELATIONS = 3000
MAX_ROWS = 60_000
"""Of one answer. More is said as cut, and is no verdict."""


@dataclass(frozen=True, slots=True)
class CatalogueWish:
    """What to read: `roles` by name beside those that hold sessions, without `excepted`."""

    columns: Sequence[str]
    settings: Sequence[str]
    roles: Sequence[str] = ()
    excepted: Sequence[str] = ()
    remembered: Sequence[str] = ()
    """Roles that held sessions at an earlier look."""


async def read_sessions(query: Query, excepted: Sequence[str] = ()) -> dict[str, int]:
    """How many sessions each role holds in this database, ours and the excepted left out."""
    rows = await query(queries.SESSIONS, {"limit": 500})
    return {row["name"]: row["sessions"] for row in rows if row["name"] not in excepted}


async def read_catalogue(client: PostgresClient, wish: CatalogueWish) -> Catalogue:
    """The catalogue as the rules need it. NotMeasurable with the GRANT where a right is missing, and
    where there is no role to judge.
    """
    async with client.snapshot() as query:
        try:
            return await _Reading(query, wish).read()
        except NotMeasurable as error:
            if error.code != "42501":
                raise
            raise NotMeasurable(error.message, GRANT, code=error.code) from error


GRANT = (
    "GRANT SELECT ON ALL TABLES IN SCHEMA pg_catalog TO NAME; where NAME is sentinel's own role:"
    " somebody has taken the catalogue away from PUBLIC"
)


class _Reading:
    """One look at a catalogue."""

    def __init__(self, query: Query, wish: CatalogueWish) -> None:
        self._query, self._wish = query, wish
        self._cut: list[str] = []
        self._given: dict[str, Any] = {
            "columns": list(wish.columns),
            "settings": list(wish.settings),
        }

    async def read(self) -> Catalogue:
        """Everything; the deputies' roles are known once relations and functions are."""
        server = (await self._query(queries.SERVER, {}))[0]
        version = int(server["version"])
        sessions = await read_sessions(self._query, self._wish.excepted)
        names = dict.fromkeys([*self._wish.roles, *self._wish.remembered, *sessions])
        judged = await self._read_roles(version, list(names), [])
        if not judged:
            raise NotMeasurable(
                "no role of the application holds a session, and none is named",
                "name them in `roles`, or look while the application runs",
            )
        relations = await self._ask(queries.RELATIONS, MAX_RELATIONS, "relations")
        self._given["relations"] = [row["oid"] for row in relations]
        self._given["roles"] = [row["oid"] for row in judged]
        functions = await self._ask(queries.FUNCTIONS, MAX_ROWS, "functions")
        owners = {row["owner"] for row in functions if row["definer"]}
        owners |= {row["owner"] for row in relations if row["kind"] == "v"}
        deputies = await self._read_roles(version, [], sorted(owners - set(self._given["roles"])))
        roles = [*_make_roles(judged, sessions, True), *_make_roles(deputies, {}, False)]
        self._given["roles"] = [role.oid for role in roles]
        return Catalogue(
            version,
            tuple(self._wish.settings),
            server["me"],
            roles,
            [TenantRelation(**row) for row in relations],
            functions=[
                ServerFunction(**{**row, "roles": frozenset(row["roles"])}) for row in functions
            ],
            **await self._read_rest(),
        )

    async def _read_roles(
        self, version: int, names: Sequence[str], oids: Sequence[int]
    ) -> list[dict[str, Any]]:
        # From 16 on a membership alone may not be enough to take a role.
        sql = queries.ROLES.replace("{take}", "'SET'" if version >= 160000 else "'MEMBER'")
        return await self._query(sql, {"names": list(names), "roles": list(oids), "limit": 500})

    async def _read_rest(self) -> Mapping[str, Any]:
        policies = await self._ask(queries.POLICIES, MAX_ROWS, "policies")
        rights = await self._ask(queries.RIGHTS, MAX_ROWS, "rights")
        views = await self._ask(queries.VIEWS, MAX_ROWS, "views")
        unique = await self._ask(queries.UNIQUE, MAX_ROWS, "unique indexes")
        links = await self._ask(queries.LINKS, MAX_ROWS, "foreign keys")
        presets = await self._ask(queries.PRESETS, MAX_ROWS, "presets")
        creators = await self._ask(queries.CREATORS, MAX_ROWS, "rights on schemas")
        return {
            "policies": [
                RowPolicy(**{**row, "roles": frozenset(row["roles"])}) for row in policies
            ],
            "rights": [TableRight(**row) for row in rights],
            "views": [(row["view"], row["below"]) for row in views],
            "unique": [TenantIndex(**row) for row in unique],
            "links": [TenantLink(**row) for row in links],
            "presets": [SettingPreset(**row) for row in presets],
            "creates": [(row["schema"], row["role"]) for row in creators],
            "cut": tuple(self._cut),
        }

    async def _ask(self, sql: str, limit: int, what: str) -> list[dict[str, Any]]:
        rows = await self._query(sql, {**self._given, "limit": limit + 1})
        if len(rows) > limit:
            self._cut.append(f"more than {limit:,} {what}")
        return rows[:limit]


def _make_roles(
    rows: Iterable[Mapping[str, Any]], sessions: Mapping[str, int], judged: bool
) -> list[DatabaseRole]:
    return [
        DatabaseRole(
            row["oid"],
            row["name"],
            row["superuser"],
            row["bypass"],
            tuple(row["becomes"]),
            sessions.get(row["name"], 0),
            judged,
        )
        for row in rows
    ]
