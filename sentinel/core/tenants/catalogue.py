"""What PostgreSQL's catalogue says of tenants: relations, policies, rights and roles, as frozen values.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

READ, INSERT, UPDATE, DELETE = "r", "a", "w", "d"
"""Commands of a policy, as `pg_policy.polcmd` has them; "*" is all of them."""
ALL = "*"
WRITTEN = "W"
"""Our own word: what a row must pass after UPDATE, beside what it must pass before."""
TABLE_KINDS = frozenset({"r", "p"})


@dataclass(frozen=True, slots=True)
class DatabaseRole:
    """A role that is judged, or as which a view or function runs. `sessions` hold it right now;
    `becomes` are roles beyond all policies that it may take with SET ROLE.
    """

    oid: int
    name: str
    superuser: bool = False
    bypass: bool = False
    becomes: tuple[str, ...] = ()
    sessions: int = 0
    judged: bool = True

    @property
    def is_beyond(self) -> bool:
        """Whether no policy ever holds for it."""
        return self.superuser or self.bypass


@dataclass(frozen=True, slots=True)
class TenantRelation:
    """A table, view, materialized view or foreign table. `column` is the one with the tenant, ""
    without; `quoted` is its name as a statement needs it.
    """

    oid: int
    name: str
    quoted: str
    kind: str
    owner: int
    owner_name: str = ""
    column: str = ""
    column_type: str = ""
    nullable: bool = False
    secured: bool = False
    forced: bool = False
    partition: bool = False
    invoker: bool = False
    indexed: bool = False
    rows: float = 0.0

    @property
    def is_table(self) -> bool:
        """Whether policies can protect it."""
        return self.kind in TABLE_KINDS

    @property
    def holds_tenants(self) -> bool:
        """Whether it is a table each row of which belongs to a tenant."""
        return self.is_table and bool(self.column)


@dataclass(frozen=True, slots=True)
class RowPolicy:
    """A policy with its expressions as text. `roles` are those of the catalogue to which it applies."""

    relation: int
    name: str
    command: str
    permissive: bool
    roles: frozenset[int]
    using: str | None = None
    check: str | None = None

    def covers(self, command: str) -> bool:
        """Whether it has a say in a command."""
        return self.command in {ALL, UPDATE if command == WRITTEN else command}

    def expression(self, command: str) -> str | None:
        """What a row must pass: for what is written the check, or what stands for it."""
        if command in {INSERT, WRITTEN}:
            return self.check if self.check is not None else self.using
        return self.using


@dataclass(frozen=True, slots=True)
class TableRight:
    """What a role may do with a relation, its schema included. `owns`: it has the rights of the
    owner.
    """

    relation: int
    role: int
    read: bool = False
    insert: bool = False
    update: bool = False
    delete: bool = False
    truncate: bool = False
    owns: bool = False

    def may(self, command: str) -> bool:
        """Whether it may run a command."""
        return {
            READ: self.read,
            INSERT: self.insert,
            UPDATE: self.update,
            WRITTEN: self.update,
            DELETE: self.delete,
        }[command]

    @property
    def touches(self) -> bool:
        """Whether it may read or change rows at all."""
        return self.read or self.insert or self.update or self.delete


@dataclass(frozen=True, slots=True)
class ServerFunction:
    """A function of the platform that passes by policies, or may. `roles` may execute it."""

    name: str
    owner: int
    owner_name: str
    roles: frozenset[int] = frozenset()
    definer: bool = False
    leakproof: bool = False
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class TenantIndex:
    """A unique index of a table with tenants that does not have the tenant in it."""

    relation: int
    name: str


@dataclass(frozen=True, slots=True)
class TenantLink:
    """A foreign key: `child` points with `column` to `parent`."""

    child: int
    parent: int
    column: str


@dataclass(frozen=True, slots=True)
class SettingPreset:
    """A setting that the server sets at the start of sessions: of a role, a database, or both."""

    setting: str
    role: str
    database: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that the rules look at. `version` is `server_version_num`; `settings` are those that
    tell the tenant. `views`: (view, relation below it). `creates`: (schema, role oid). `cut` says
    what was not read because there is too much of it.
    """

    version: int
    settings: tuple[str, ...]
    me: str = ""
    """The role that sentinel itself has."""
    roles: Sequence[DatabaseRole] = ()
    relations: Sequence[TenantRelation] = ()
    policies: Sequence[RowPolicy] = ()
    rights: Sequence[TableRight] = ()
    views: Sequence[tuple[int, int]] = ()
    functions: Sequence[ServerFunction] = ()
    unique: Sequence[TenantIndex] = ()
    links: Sequence[TenantLink] = ()
    presets: Sequence[SettingPreset] = ()
    creates: Sequence[tuple[str, int]] = ()
    cut: Sequence[str] = ()


def grant_of(role: str, me: str, version: int) -> str:
    """The statement that lets sentinel take a role, and nothing of its rights where the server can
    tell the two apart (16 and later).
    """
    how = " WITH INHERIT FALSE, SET TRUE" if version >= 160000 else ""
    return f"GRANT {quote(role)} TO {quote(me)}{how};"


def quote(name: str) -> str:
    """A name as it stands in a statement."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class CatalogueIndex:
    """The same, looked up by what a rule asks for."""

    catalogue: Catalogue
    _nothing: TableRight = field(default=TableRight(0, 0), repr=False)

    @cached_property
    def judged(self) -> Sequence[DatabaseRole]:
        """Roles to judge that policies hold for."""
        return [role for role in self.catalogue.roles if role.judged and not role.is_beyond]

    @cached_property
    def tables(self) -> Sequence[TenantRelation]:
        """Tables with tenants."""
        return [each for each in self.catalogue.relations if each.holds_tenants]

    @cached_property
    def role_of(self) -> dict[int, DatabaseRole]:
        """Roles by oid."""
        return {role.oid: role for role in self.catalogue.roles}

    @cached_property
    def relation_of(self) -> dict[int, TenantRelation]:
        """Relations by oid."""
        return {each.oid: each for each in self.catalogue.relations}

    @cached_property
    def below(self) -> dict[int, list[int]]:
        """What each view reads."""
        found: dict[int, list[int]] = {}
        for view, relation in self.catalogue.views:
            found.setdefault(view, []).append(relation)
        return found

    @cached_property
    def _rights(self) -> dict[tuple[int, int], TableRight]:
        return {(each.relation, each.role): each for each in self.catalogue.rights}

    @cached_property
    def _policies(self) -> dict[int, list[RowPolicy]]:
        found: dict[int, list[RowPolicy]] = {}
        for policy in self.catalogue.policies:
            found.setdefault(policy.relation, []).append(policy)
        return found

    def right(self, relation: TenantRelation, role: DatabaseRole) -> TableRight:
        """What a role may do with a relation."""
        return self._rights.get((relation.oid, role.oid), self._nothing)

    def policies(self, relation: TenantRelation) -> Sequence[RowPolicy]:
        """All of a table."""
        return self._policies.get(relation.oid, [])

    def policies_for(self, relation: TenantRelation, role: DatabaseRole) -> Iterator[RowPolicy]:
        """Those of a table that hold for a role."""
        return (each for each in self.policies(relation) if role.oid in each.roles)

    def is_beyond(self, relation: TenantRelation, role: DatabaseRole) -> bool:
        """Whether no policy of this table holds for a role."""
        owns = self.right(relation, role).owns or relation.owner == role.oid
        return role.is_beyond or not relation.secured or (owns and not relation.forced)
