"""Policies tried on rows that do not exist (measurement.md §11.13): made-up rows of tenant B, every other
column varied, under everything that a session may have set. A row that passes is a counterexample.

Nothing of the platform's is read, unless a policy itself does. Pure: what to ask, and what the
answers mean.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

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
)
from sentinel.core.tenants.expression import PolicyText
from sentinel.core.tenants.hole import Hole, HoleSeverity

MAX_ROWS = 64
"""Made-up rows of one question."""
MAX_COLUMNS = 400
_COMMANDS = (READ, INSERT, UPDATE, WRITTEN, DELETE)
_OTHER_HALF = {UPDATE: WRITTEN, WRITTEN: UPDATE}
_TENANTS = {
    "uuid": ("5e471e10-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "5e471e10-bbbb-4bbb-8bbb-bbbbbbbbbbbb"),
    "bigint": ("910000000000000001", "920000000000000002"),
    "integer": ("1910000001", "1920000002"),
    "smallint": ("31001", "32002"),
    "numeric": ("910000000000000001", "920000000000000002"),
    "text": ("sentinel-a", "sentinel-b"),
    "character varying": ("sentinel-a", "sentinel-b"),
}
_VALUES: Mapping[str, tuple[str | None, ...]] = {
    "boolean": ("true", "false", None),
    "bigint": ("1", "0", None),
    "integer": ("1", "0", None),
    "smallint": ("1", None),
    "numeric": ("1", None),
    "text": ("x", "", None),
    "character varying": ("x", "", None),
    "jsonb": ("{}", None),
    "json": ("{}", None),
}


class SyntheticWorld(StrEnum):
    """What the session has set while a policy is tried."""

    UNSET = "without a tenant"
    EMPTY = "with an empty tenant"
    AS_A = "as tenant A"
    SWITCHED = "as tenant A, with every other setting on"


WORLDS = (
    SyntheticWorld.UNSET,
    SyntheticWorld.EMPTY,
    SyntheticWorld.AS_A,
    SyntheticWorld.SWITCHED,
)
"""In this order: once a setting was set, no session forgets that it was."""


@dataclass(frozen=True, slots=True)
class SyntheticTrial:
    """One policy to try for one role: the expressions that a row must pass, all of them, and the
    column types of its table. `command` is the one for which it stands. `reach`: what some row, A's or
    B's, must pass beside it: an UPDATE needs one that it may touch and one that it may write.
    """

    table: TenantRelation
    role: DatabaseRole
    policy: RowPolicy
    command: str
    expressions: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    tenants: tuple[str, str]
    others: tuple[str, ...]
    reach: tuple[str, ...] = ()

    def settings(self, world: SyntheticWorld, names: Sequence[str]) -> dict[str, str]:
        """What to set in a world; nothing where nothing is to be set."""
        if world == SyntheticWorld.UNSET:
            return {}
        value = "" if world == SyntheticWorld.EMPTY else self.tenants[0]
        found = dict.fromkeys(names, value)
        if world == SyntheticWorld.SWITCHED:
            found |= dict.fromkeys(self.others, "1")
        return found

    def rows(self, which: int = 1) -> Iterator[Mapping[str, str | None]]:
        """Made-up rows of tenant B (of A with 0): each column varied by itself, then as many together as fit."""
        rest = [(name, _vary(kind)) for name, kind in self.columns if name != self.table.column]
        usual = {name: values[0] for name, values in rest}
        single = (
            {**usual, name: value} for name, values in rest for value in values if len(values) > 1
        )
        names = [name for name, _ in rest]
        product = itertools.product(*(values for _, values in rest))
        together = (dict(zip(names, combination, strict=True)) for combination in product)
        seen: set[tuple[str | None, ...]] = set()
        for row in itertools.islice(itertools.chain([usual], single, together), 4 * MAX_ROWS):
            shape = tuple(row[name] for name in names)
            if shape not in seen and len(seen) < MAX_ROWS:
                seen.add(shape)
                yield {self.table.column: self.tenants[which], **row}


def _vary(kind: str) -> tuple[str | None, ...]:
    return _VALUES.get(kind.partition("(")[0], (None,))


@dataclass(frozen=True, slots=True)
class Untried:
    """A policy that could not be tried, and why; `role` is one that sentinel would have to take."""

    table: str
    policy: str
    why: str
    role: str = ""


def plan_trials(
    index: CatalogueIndex, columns: Mapping[int, tuple[tuple[str, str], ...]]
) -> tuple[list[SyntheticTrial], list[Untried]]:
    """Every permissive policy for every role that is judged; the same for two commands once."""
    planned: dict[tuple[object, ...], SyntheticTrial] = {}
    untried: dict[tuple[str, str], Untried] = {}
    for table in index.tables:
        for role in index.judged:
            if not index.right(table, role).touches or index.is_beyond(table, role):
                continue
            for trial in _plan(index, table, role, columns.get(table.oid, ())):
                if isinstance(trial, Untried):
                    untried[trial.table, trial.policy] = trial
                else:
                    key = (table.oid, role.oid, trial.expressions, trial.reach)
                    planned.setdefault(key, trial)
    return list(planned.values()), list(untried.values())


def _plan(
    index: CatalogueIndex,
    table: TenantRelation,
    role: DatabaseRole,
    columns: tuple[tuple[str, str], ...],
) -> Iterator[SyntheticTrial | Untried]:
    mine = list(index.policies_for(table, role))
    settings = index.catalogue.settings
    for command in _COMMANDS:
        if not index.right(table, role).may(command):
            continue
        narrowing = [
            text
            for each in mine
            if not each.permissive and each.covers(command)
            if (text := each.expression(command)) is not None
        ]
        for policy in mine:
            if not policy.permissive or not policy.covers(command):
                continue
            tenants = _TENANTS.get(table.column_type)
            if tenants is None:
                why = f"no tenant can be made up for {table.column} of type {table.column_type}"
                yield Untried(table.name, policy.name, why)
                continue
            if len(columns) > MAX_COLUMNS:
                yield Untried(table.name, policy.name, f"more than {MAX_COLUMNS} columns")
                continue
            own = policy.expression(command) or "true"
            expressions = (own, *narrowing)
            others: dict[str, None] = {}
            for text in expressions:
                found = PolicyText(text, table.column, settings).foreign_settings
                others.update(dict.fromkeys(found))
            yield SyntheticTrial(
                table,
                role,
                policy,
                command,
                expressions,
                columns,
                tenants,
                tuple(others),
                _reach(mine, command),
            )


def _reach(policies: Sequence[RowPolicy], command: str) -> tuple[str, ...]:
    """What some row must pass for the other half of an UPDATE: one permissive policy, and all that
    narrow.
    """
    half = _OTHER_HALF.get(command)
    if half is None:
        return ()
    given = [(each.permissive, each.expression(half)) for each in policies if each.covers(half)]
    one = " OR ".join(f"({text or 'true'})" for permissive, text in given if permissive)
    return (one, *(text for permissive, text in given if not permissive and text is not None))


def tell_counterexample(
    trial: SyntheticTrial, world: SyntheticWorld, row: Mapping[str, object]
) -> Hole:
    """A made-up row of B that passed. None of its values is the platform's."""
    shown = ", ".join(f"{name}={value}" for name, value in list(row.items())[:6])
    switched = f" ({', '.join(trial.others)})" if world == SyntheticWorld.SWITCHED else ""
    lenient = world == SyntheticWorld.SWITCHED
    return Hole(
        "policy_lets_pass",
        HoleSeverity.WARNING if lenient else HoleSeverity.CRITICAL,
        trial.table.name,
        f"policy {trial.policy.name} lets a made-up row of tenant B pass {world}{switched}: {shown}",
        "correct the policy: the tenant column must equal the tenant setting",
        trial.role.name,
    )
