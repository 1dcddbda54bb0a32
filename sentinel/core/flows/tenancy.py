"""Whose is a flow? A flow without a tenant, one that fell back to the tenant of nobody, and a child
under a master of another tenant.
"""

from __future__ import annotations

import re

from sentinel.core.flows.stuck import FlowSight

MISSING, FALLBACK, FOREIGN = "tenant_missing", "tenant_fallback", "foreign_master"
TENANCY = (MISSING, FALLBACK, FOREIGN)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")


def normalise_tenant(text: str) -> str:
    """A UUID is the same in any case, with or without dashes; every other name is what it is."""
    text = text.strip()
    return text.lower().replace("-", "") if _UUID.fullmatch(text) else text


def find_owner_fault(sight: FlowSight, fallback: frozenset[str]) -> tuple[str, str] | None:
    """(reason, words) for a flow whose own tenant is missing or a fallback value."""
    if not sight.tenant:
        return MISSING, "it has no tenant"
    if normalise_tenant(sight.tenant) in fallback:
        return FALLBACK, f"its tenant is the fallback {sight.tenant:.80}"
    return None


def find_foreign(child: FlowSight, master: FlowSight | None, fallback: frozenset[str]) -> str:
    """In words, where both name a tenant of their own and not the same; else "".

    Where one of them has none, or a fallback value, that is the fault of its own row.
    """
    if master is None or not child.tenant or not master.tenant:
        return ""
    one, other = normalise_tenant(child.tenant), normalise_tenant(master.tenant)
    if one == other or one in fallback or other in fallback:
        return ""
    return (
        f"its tenant is {child.tenant:.80}, that of master {master.id:.80} is {master.tenant:.80}"
    )
