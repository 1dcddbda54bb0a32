"""Rows that belong to nobody: without a tenant, on the fallback tenant, on one that does not exist. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sentinel.core.fault import Fault, Status
from sentinel.core.quantity import MANY, Bounds

COUNTED_ROWS = 1000
"""Rows of a table that are counted at most."""
MISSING, FALLBACK, UNKNOWN_TENANT = "tenant_missing", "tenant_fallback", "tenant_unknown"
_SAID = {
    MISSING: ("without a tenant", "find who writes them, then give each its tenant"),
    FALLBACK: (
        "on the fallback tenant",
        "find which code falls back, and let it fail instead: what is on the fallback tenant is"
        " everybody's",
    ),
    UNKNOWN_TENANT: (
        "of a tenant that does not exist",
        "find out whether the tenant was deleted, or never was; a foreign key keeps such rows out",
    ),
}


@dataclass(frozen=True, slots=True)
class OrphanedRows:
    """How many rows of a table belong to nobody, by what is wrong, each at most `COUNTED_ROWS`; None
    where that is not asked.
    """

    table: str
    missing: int
    fallback: int | None = None
    unknown: int | None = None

    def figures(self) -> dict[str, int]:
        """By fault, those that were asked."""
        found = {MISSING: self.missing, FALLBACK: self.fallback, UNKNOWN_TENANT: self.unknown}
        return {key: n for key, n in found.items() if n is not None}


def judge_orphans(rows: OrphanedRows) -> Iterator[Fault]:
    """A fault for each way in which rows of a table belong to nobody."""
    for key, n in rows.figures().items():
        if n:
            said, guidance = _SAID[key]
            many = n >= COUNTED_ROWS
            counted = f"{n} or more rows" if many else f"{n} row{'s' * (n != 1)}"
            yield Fault(
                key,
                {"table": rows.table},
                Status.DEGRADED,
                f"{rows.table}: {counted} {said}",
                count=Bounds(n, MANY if many else n),
                guidance=guidance,
                parameters={"table": rows.table},
            )
