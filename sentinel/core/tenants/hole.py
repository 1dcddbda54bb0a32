"""One way past the isolation of tenants, as a rule found it, and what all of them come to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sentinel.core.fault import Fault, Status


class HoleSeverity(StrEnum):
    """`critical`: rows of another tenant can be reached. `warning`: they can once one thing more goes
    wrong, or work stops. `note`: worth knowing, and no verdict.
    """

    CRITICAL = "critical"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Hole:
    """What is wrong with an object, and for whom. `rule`, `object` and `role` are its stable key; the
    text may change. `cure` are statements for whoever owns the schema.
    """

    rule: str
    severity: HoleSeverity
    object: str
    text: str
    guidance: str = ""
    role: str = ""
    cure: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """`rule object role`, as evidence shows it."""
        return " ".join(filter(None, (self.rule, self.object, self.role)))

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes two of them the same."""
        return self.rule, self.object, self.role


RULES = (
    "role_superuser",
    "role_bypasses_rls",
    "role_can_become_bypass",
    "rls_disabled",
    "rls_owner_bypass",
    "rls_not_forced",
    "policy_always_true",
    "policy_check_true",
    "policy_without_tenant_column",
    "policy_without_setting",
    "policy_open_branch",
    "policy_fail_open",
    "policy_lets_pass",
    "policy_or_widening",
    "policy_trusts_setting",
    "policy_trusts_unprotected",
    "setting_cast_unsafe",
    "tenant_setting_preset",
    "tenant_column_nullable",
    "tenant_column_unnamed",
    "tenant_index_missing",
    "child_without_tenant",
    "truncate_granted",
    "schema_create",
    "view_bypasses_rls",
    "matview_no_rls",
    "foreign_table_no_rls",
    "security_definer_executable",
    "leakproof_function",
    "server_outdated",
)
"""Those that are a fault. The ones that only note something have no runbook."""

_ORDER = {HoleSeverity.CRITICAL: 0, HoleSeverity.WARNING: 1, HoleSeverity.NOTE: 2}
_FAULTS = {
    HoleSeverity.CRITICAL: ("hole", Status.DOWN),
    HoleSeverity.WARNING: ("weakness", Status.DEGRADED),
}


def sort_holes(holes: Iterable[Hole]) -> list[Hole]:
    """The worst first; one that several rules' ways lead to counts once."""
    known = {hole.identity: hole for hole in reversed(list(holes))}
    return sorted(known.values(), key=lambda hole: (_ORDER[hole.severity], *hole.identity))


def count_holes(holes: Sequence[Hole]) -> Counter[tuple[str, str]]:
    """How many each rule found, by (rule, severity)."""
    return Counter((hole.rule, hole.severity.value) for hole in holes)


def tell_holes(holes: Iterable[Hole]) -> Iterator[Fault]:
    """Each hole as a fault of its own, the ones that only note something left out."""
    for hole in holes:
        if hole.severity in _FAULTS:
            key, status = _FAULTS[hole.severity]
            subject = {"rule": hole.rule, "object": hole.object}
            if hole.role:
                subject["role"] = hole.role
            text = f"{hole.object}: {hole.text}"
            told = {"table": hole.object, "role": hole.role}
            parameters = {name: value for name, value in told.items() if value}
            yield Fault(
                key,
                subject,
                status,
                text,
                guidance=hole.guidance,
                cure=hole.cure,
                parameters=parameters,
            )
