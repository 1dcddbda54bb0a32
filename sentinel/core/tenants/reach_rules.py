"""Rules about ways around the policies: roles, views, functions, links, settings, the server itself
(measurement.md §6 and §11.13). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from sentinel.core.tenants.catalogue import CatalogueIndex, DatabaseRole, TenantRelation, quote
from sentinel.core.tenants.hole import Hole, HoleSeverity
from sentinel.core.tenants.table_rules import opens

CRITICAL, WARNING, NOTE = HoleSeverity.CRITICAL, HoleSeverity.WARNING, HoleSeverity.NOTE
FIXED_IN = {13: 22, 14: 19, 15: 14, 16: 10, 17: 6}
"""The minor of each major from which the known faults of row-level security are mended (CVE-2023-2455,
CVE-2024-10976, CVE-2025-8713); later majors have never had them.
"""


def find_reach_holes(index: CatalogueIndex) -> Iterator[Hole]:
    """Every way around."""
    yield from _find_roles(index)
    for relation in index.catalogue.relations:
        if relation.kind == "v":
            yield from _find_view(index, relation)
        elif relation.kind in "mf":
            yield from _find_unprotectable(index, relation)
    yield from _find_functions(index)
    yield from _find_links(index)
    yield from _find_presets(index)
    yield from _find_creators(index)
    yield from _find_unique(index)
    yield from _find_old_server(index)


def _find_roles(index: CatalogueIndex) -> Iterator[Hole]:
    for role in index.catalogue.roles:
        if not role.judged:
            continue
        if role.is_beyond:
            what = "SUPERUSER" if role.superuser else "BYPASSRLS"
            rule = "role_superuser" if role.superuser else "role_bypasses_rls"
            held = f", and {role.sessions} sessions hold it" if role.sessions else ""
            yield Hole(
                rule,
                CRITICAL,
                role.name,
                f"it is {what}: no policy holds for it{held}",
                "let the application connect as a role that is neither, and owns no table",
                role.name,
                (f"ALTER ROLE {quote(role.name)} NO{what};",),
            )
        for name in role.becomes if not role.is_beyond else ():
            yield Hole(
                "role_can_become_bypass",
                CRITICAL,
                role.name,
                f"it may SET ROLE {name}, for which no policy holds",
                "take the membership away",
                role.name,
                (f"REVOKE {quote(name)} FROM {quote(role.name)};",),
            )


def _readers(index: CatalogueIndex, relation: TenantRelation) -> Iterator[DatabaseRole]:
    return (role for role in index.judged if index.right(relation, role).read)


def _find_view(index: CatalogueIndex, view: TenantRelation) -> Iterator[Hole]:
    """A view asks as its owner, unless it is `security_invoker`; one below it is asked the same way."""
    for role in _readers(index, view):
        open_ones = sorted(set(_open_below(index, view, role, role, set())))
        if open_ones:
            yield Hole(
                "view_bypasses_rls",
                CRITICAL,
                view.name,
                f"{role.name} reads {', '.join(open_ones)} through it as {view.owner_name}",
                "let it ask as who asks (PostgreSQL 15 and later), or give it an owner for whom"
                " the policies hold",
                role.name,
                (f"ALTER VIEW {view.quoted} SET (security_invoker = true);",),
            )


def _open_below(
    index: CatalogueIndex,
    view: TenantRelation,
    reader: DatabaseRole,
    caller: DatabaseRole,
    seen: set[tuple[int, int]],
) -> Iterator[str]:
    """Tables below a view that are open to whom it asks as, and are no fault of the caller's own."""
    asks = reader if view.invoker else index.role_of.get(view.owner)
    if asks is None or (view.oid, asks.oid) in seen:
        return
    seen.add((view.oid, asks.oid))
    for oid in index.below.get(view.oid, ()):
        below = index.relation_of.get(oid)
        if below is None:
            continue
        if below.kind == "v":
            yield from _open_below(index, below, asks, caller, seen)
        elif below.holds_tenants and asks.oid != caller.oid and opens(index, below, asks):
            yield below.name


def _find_unprotectable(index: CatalogueIndex, relation: TenantRelation) -> Iterator[Hole]:
    """Policies can't protect it at all."""
    over = _tenants_below(index, relation, set())
    if not relation.column and not over:
        return
    for role in _readers(index, relation):
        foreign = relation.kind == "f"
        what = "a foreign table" if foreign else "a materialized view"
        yield Hole(
            "foreign_table_no_rls" if foreign else "matview_no_rls",
            CRITICAL if relation.column else WARNING,
            relation.name,
            f"{what} of tenants' rows has no policies, and {role.name} reads it",
            "let the application read it through a view that asks for the tenant",
            role.name,
            (f"REVOKE SELECT ON {relation.quoted} FROM {quote(role.name)};",),  # noqa: S608 - shown
        )


def _tenants_below(index: CatalogueIndex, relation: TenantRelation, seen: set[int]) -> bool:
    for oid in index.below.get(relation.oid, ()):
        below = index.relation_of.get(oid)
        if below is None or oid in seen:
            continue
        seen.add(oid)
        if below.holds_tenants or _tenants_below(index, below, seen):
            return True
    return False


def _find_functions(index: CatalogueIndex) -> Iterator[Hole]:
    for function in index.catalogue.functions:
        mine = [role for role in index.judged if role.oid in function.roles]
        owner = index.role_of.get(function.owner)
        if function.definer and owner is not None:
            passes = any(opens(index, table, owner) for table in index.tables)
            loose = "" if function.pinned else "; its search_path is not pinned"
            for role in mine:
                if owner.oid == role.oid:
                    continue
                yield Hole(
                    "security_definer_executable",
                    CRITICAL if passes else WARNING if not function.pinned else NOTE,
                    function.name,
                    f"{role.name} may run it as {function.owner_name}"
                    f"{', for whom policies do not hold' if passes else ''}{loose}",
                    "make it SECURITY INVOKER, or let it ask for the tenant and pin its search_path",
                    role.name,
                    (f"ALTER FUNCTION {function.name} SECURITY INVOKER;",),
                )
        if function.leakproof and index.tables:
            yield Hole(
                "leakproof_function",
                WARNING,
                function.name,
                "it is said to be LEAKPROOF: the planner may run it on rows before the policy",
                "a function that can raise or write is not",
                cure=(f"ALTER FUNCTION {function.name} NOT LEAKPROOF;",),
            )


def _find_links(index: CatalogueIndex) -> Iterator[Hole]:
    """Tables whose rows belong to a tenant by what they point to, and say so in no column of ours."""
    owners = {
        link.parent
        for link in index.catalogue.links
        if (child := index.relation_of.get(link.child)) and link.column == child.column != ""
    }
    for link in index.catalogue.links:
        child = index.relation_of.get(link.child)
        parent = index.relation_of.get(link.parent)
        if child is None or parent is None or child.secured or child.column or not child.is_table:
            continue
        readers = list(_readers(index, child))
        if not readers:
            continue
        if parent.oid in owners and not parent.holds_tenants:
            rule, text = "tenant_column_unnamed", f"its column {link.column} names the tenant"
            remedy = f"add {link.column} to `columns` of the check"
        elif parent.holds_tenants:
            rule, text = "child_without_tenant", f"its rows belong to {parent.name}"
            remedy = "give it the tenant column and a policy, or one that asks its parent"
        else:
            continue
        yield Hole(
            rule,
            CRITICAL,
            child.name,
            f"{text}, and {readers[0].name} reads all of it without row-level security",
            remedy,
            readers[0].name,
            (f"ALTER TABLE {child.quoted} ENABLE ROW LEVEL SECURITY;",),
        )


def _find_presets(index: CatalogueIndex) -> Iterator[Hole]:
    for preset in index.catalogue.presets:
        if preset.setting not in index.catalogue.settings:
            continue
        of = f"role {preset.role}" if preset.role else f"database {preset.database}"
        quoted = quote(preset.role or preset.database)
        yield Hole(
            "tenant_setting_preset",
            CRITICAL,
            preset.role or preset.database,
            f"every session of {of} begins with {preset.setting} set: who forgets it is a tenant",
            "reset it: without a tenant nobody may see anything",
            cure=(
                f"ALTER {'ROLE' if preset.role else 'DATABASE'} {quoted} RESET {preset.setting};",
            ),
        )


def _find_creators(index: CatalogueIndex) -> Iterator[Hole]:
    for schema, oid in index.catalogue.creates:
        role = index.role_of.get(oid)
        if role is not None and role in index.judged:
            yield Hole(
                "schema_create",
                WARNING,
                schema,
                f"{role.name} may create in this schema: a function or table of its own may be"
                " taken for one of yours",
                "take the right away",
                role.name,
                (f"REVOKE CREATE ON SCHEMA {quote(schema)} FROM PUBLIC, {quote(role.name)};",),
            )


def _find_unique(index: CatalogueIndex) -> Iterator[Hole]:
    for unique in index.catalogue.unique:
        table = index.relation_of.get(unique.relation)
        if table is not None and any(index.right(table, role).insert for role in index.judged):
            yield Hole(
                "unique_across_tenants",
                NOTE,
                table.name,
                f"unique index {unique.name} lacks {table.column}: who inserts learns what others"
                " have",
            )


def _find_old_server(index: CatalogueIndex) -> Iterator[Hole]:
    major, minor = divmod(index.catalogue.version, 10000)
    fixed = FIXED_IN.get(major)
    if (fixed is not None and minor < fixed) or major < min(FIXED_IN):
        wanted = f"{major}.{fixed}" if fixed else "a version that is still maintained"
        yield Hole(
            "server_outdated",
            WARNING,
            "server",
            f"PostgreSQL {major}.{minor} has known faults of row-level security",
            f"update to {wanted} or later",
        )
