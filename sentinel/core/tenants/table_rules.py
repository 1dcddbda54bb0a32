"""Rules about the tables of tenants: is row-level security on for whoever asks, and do its policies
keep tenants apart? (measurement.md §6) Pure.

A policy is judged for each role for which it holds and that has the right which it guards. A
restrictive policy that keeps tenants apart makes whatever a permissive one lets pass harmless.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sentinel.core.tenants.catalogue import (
    DELETE,
    INSERT,
    READ,
    UPDATE,
    WRITTEN,
    CatalogueIndex,
    DatabaseRole,
    RowPolicy,
    TenantRelation,
    quote,
)
from sentinel.core.tenants.expression import PolicyText
from sentinel.core.tenants.hole import Hole, HoleSeverity

CRITICAL, WARNING, NOTE = HoleSeverity.CRITICAL, HoleSeverity.WARNING, HoleSeverity.NOTE
MANY_ROWS = 10_000
"""From so many rows on, a policy without an index reads the whole table at every question."""
_COMMANDS = (READ, INSERT, UPDATE, WRITTEN, DELETE)
_WORDS = {
    READ: "SELECT",
    INSERT: "INSERT",
    UPDATE: "UPDATE",
    WRITTEN: "what UPDATE writes",
    DELETE: "DELETE",
}
_OTHER_HALF = {UPDATE: WRITTEN, WRITTEN: UPDATE}
"""An UPDATE needs a row that it may touch, and one that it may write."""
_GUIDE = "correct the policy: the tenant column must equal the tenant setting"


def find_table_holes(index: CatalogueIndex) -> Iterator[Hole]:
    """Every table with tenants, for every role that is judged."""
    for table in index.tables:
        yield from _judge_shape(index, table)
        for role in index.judged:
            if index.right(table, role).touches:
                yield from find_role_holes(index, table, role)
            if index.right(table, role).truncate and not index.right(table, role).owns:
                yield Hole(
                    "truncate_granted",
                    WARNING,
                    table.name,
                    f"{role.name} may TRUNCATE it, and no policy holds for that",
                    "take the right away",
                    role.name,
                    (f"REVOKE TRUNCATE ON {table.quoted} FROM {quote(role.name)};",),
                )


def find_role_holes(
    index: CatalogueIndex, table: TenantRelation, role: DatabaseRole
) -> Iterator[Hole]:
    """What one role finds open at one table; it has some right on it."""
    if not table.secured:
        yield _without_security(index, table, role)
        return
    if index.right(table, role).owns and not table.forced:
        yield Hole(
            "rls_owner_bypass",
            CRITICAL,
            table.name,
            f"{role.name} has the rights of its owner, and row-level security is not forced",
            "force it, or give the table to a role of which the application is no member",
            role.name,
            (f"ALTER TABLE {table.quoted} FORCE ROW LEVEL SECURITY;",),
        )
        return
    for command in _COMMANDS:
        if index.right(table, role).may(command):
            yield from _PolicyRules(index, table, role, command).find()


def opens(index: CatalogueIndex, table: TenantRelation, role: DatabaseRole) -> bool:
    """Whether a role reads rows of every tenant there, for all that the catalogue shows."""
    if index.is_beyond(table, role):
        return True
    found = _PolicyRules(index, table, role, READ).find()
    return any(hole.severity is CRITICAL for hole in found)


def _without_security(index: CatalogueIndex, table: TenantRelation, role: DatabaseRole) -> Hole:
    though = ", although it has policies" if index.policies(table) else ""
    part = "; it is a partition that can be read by its own name" if table.partition else ""
    return Hole(
        "rls_disabled",
        CRITICAL,
        table.name,
        f"row-level security is off{though}, and {role.name} has rights on it{part}",
        "switch it on, force it, and give it a policy",
        role.name,
        (
            f"ALTER TABLE {table.quoted} ENABLE ROW LEVEL SECURITY;",
            f"ALTER TABLE {table.quoted} FORCE ROW LEVEL SECURITY;",
        ),
    )


def _judge_shape(index: CatalogueIndex, table: TenantRelation) -> Iterator[Hole]:
    """What holds for every role."""
    if not any(index.right(table, role).touches for role in index.judged):
        return
    owned = any(index.right(table, role).owns for role in index.judged)
    if table.secured and not table.forced and not owned:
        yield Hole(
            "rls_not_forced",
            WARNING,
            table.name,
            f"its owner {table.owner_name} passes by its policies",
            "force it: a migration or a job that runs as the owner sees all tenants",
            cure=(f"ALTER TABLE {table.quoted} FORCE ROW LEVEL SECURITY;",),
        )
    if table.nullable:
        yield Hole(
            "tenant_column_nullable",
            WARNING,
            table.name,
            f"{table.column} may be NULL: such rows belong to nobody",
            "give each row its tenant, then set the column NOT NULL",
            cure=(f"ALTER TABLE {table.quoted} ALTER COLUMN {quote(table.column)} SET NOT NULL;",),
        )
    if table.secured and table.kind == "r" and not table.indexed:
        yield Hole(
            "tenant_index_missing",
            WARNING if table.rows > MANY_ROWS else NOTE,
            table.name,
            f"no index begins with {table.column}: each question reads all tenants' rows",
            "make one",
            cure=(f"CREATE INDEX CONCURRENTLY ON {table.quoted} ({quote(table.column)});",),
        )
    if table.secured and not index.policies(table):
        yield Hole("rls_no_policy", NOTE, table.name, "no policy: only its owner sees rows")


@dataclass(frozen=True, slots=True)
class _PolicyRules:
    """The policies of a table that hold for one role and command."""

    index: CatalogueIndex
    table: TenantRelation
    role: DatabaseRole
    command: str

    def find(self) -> Iterator[Hole]:
        """What they let pass, or how they fail."""
        mine = [
            each
            for each in self.index.policies_for(self.table, self.role)
            if each.covers(self.command)
        ]
        permissive = [each for each in mine if each.permissive]
        if not permissive and self.index.policies(self.table) and self.command != WRITTEN:
            yield self._hole(
                "rls_no_policy_for_role", NOTE, f"no policy lets {self.role.name} {self._word} rows"
            )
        half = _OTHER_HALF.get(self.command)
        closed = half and all((each.expression(half) or "") == "false" for each in permissive)
        if not closed and not any(self._read(each).holds for each in mine if not each.permissive):
            for policy in permissive:
                yield from self._judge(policy)
            yield from self._widened(permissive)
        for policy in mine:
            yield from self._frail(policy)

    @property
    def _word(self) -> str:
        return _WORDS[self.command]

    def _read(self, policy: RowPolicy) -> PolicyText:
        text = policy.expression(self.command)
        # Without an expression every row passes: a policy for INSERT may have none at all.
        return PolicyText(text or "true", self.table.column, self.index.catalogue.settings)

    def _judge(self, policy: RowPolicy) -> Iterator[Hole]:
        """One permissive policy: what it lets pass is open, whatever the others say."""
        text, called = self._read(policy), f"policy {policy.name} ({self._word})"
        if text.always:
            written = self.command in {INSERT, WRITTEN}
            rule = "policy_check_true" if written else "policy_always_true"
            yield self._hole(rule, CRITICAL, f"{called} lets every row pass for {self.role.name}")
        elif text.never:
            return
        elif text.fails_open and self._opens_both(policy):
            yield self._hole(
                "policy_fail_open",
                CRITICAL,
                f"{called} lets every row pass while the tenant setting is empty",
                "let an empty setting match nothing: nullif(current_setting(…, true), '')",
            )
        elif not text.mentions_column:
            yield self._hole(
                "policy_without_tenant_column",
                CRITICAL,
                f"{called} never asks for {self.table.column}",
            )
        elif not text.looks_outside:
            yield self._hole(
                "policy_without_setting",
                CRITICAL,
                f"{called} compares {self.table.column} with nothing that tells the tenant",
            )
        elif text.open_branch:
            yield self._hole(
                "policy_open_branch",
                CRITICAL,
                f"{called} has a part behind OR that never asks for {self.table.column}",
            )
        yield from self._trusting(policy, text)

    def _opens_both(self, policy: RowPolicy) -> bool:
        """Of an UPDATE without a tenant: it must pass before, and what it writes after."""
        half = _OTHER_HALF.get(self.command)
        if half is None:
            return True
        text = policy.expression(half) or "true"
        other = PolicyText(text, self.table.column, self.index.catalogue.settings)
        return other.always or other.fails_open

    def _trusting(self, policy: RowPolicy, text: PolicyText) -> Iterator[Hole]:
        """What it rests on can be changed by whom it guards against."""
        if text.foreign_settings:
            names = ", ".join(text.foreign_settings)
            yield self._hole(
                "policy_trusts_setting",
                WARNING,
                f"policy {policy.name} also goes by {names}, which every session may set",
                "name it in `other_settings` if it tells the tenant, else take it out",
            )
        for relation in self.index.catalogue.relations:
            right = self.index.right(relation, self.role)
            loose = not relation.secured and relation.is_table and (right.insert or right.update)
            if loose and relation.name in text.reads:
                yield self._hole(
                    "policy_trusts_unprotected",
                    WARNING,
                    f"policy {policy.name} trusts {relation.name}, in which {self.role.name}"
                    " may write as it likes",
                    f"protect {relation.name}, or take the right to write away",
                )

    def _widened(self, permissive: list[RowPolicy]) -> Iterator[Hole]:
        if len(permissive) > 1:
            names = ", ".join(sorted(each.name for each in permissive))
            yield self._hole(
                "policy_or_widening",
                NOTE if self.command != READ else WARNING,
                f"{len(permissive)} permissive policies are combined with OR for {self.role.name}:"
                f" {names}",
                "make all but one RESTRICTIVE, or put them into one",
            )

    def _frail(self, policy: RowPolicy) -> Iterator[Hole]:
        """What fails closed, but fails."""
        text = self._read(policy)
        if text.casts_empty:
            yield self._hole(
                "setting_cast_unsafe",
                WARNING,
                f"policy {policy.name} casts the setting as it is: after the first SET LOCAL of a"
                " pooled session it is '', and every query fails (22P02)",
                "nullif(current_setting(…, true), '')",
            )
        if text.raises_absent:
            yield self._hole(
                "setting_must_exist",
                NOTE,
                f"policy {policy.name} raises where the setting was never set",
            )

    def _hole(self, rule: str, severity: HoleSeverity, text: str, guidance: str = _GUIDE) -> Hole:
        return Hole(rule, severity, self.table.name, text, guidance, self.role.name)
