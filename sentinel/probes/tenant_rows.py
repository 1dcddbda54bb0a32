"""Kind `tenant_rows`: do rows belong to a tenant that exists?

A row without a tenant, on a fallback tenant, or on one that nobody knows is everybody's or nobody's:
policies keep such rows from nobody whose setting is just as wrong. Counted as sentinel's own role, read
only; where policies hide rows from that role, nothing is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from sentinel.adapters.tenants.owners import OwnerWish, count_orphans, find_tables
from sentinel.core.fault import Fault, FaultKind, Severity, headline, judge, sort_faults
from sentinel.core.model import Finding, Impact, Measurement, Row, Section, Term
from sentinel.core.tenants.finding import unjudged
from sentinel.core.tenants.owner import (
    FALLBACK,
    MISSING,
    UNKNOWN_TENANT,
    OrphanedRows,
    judge_orphans,
)
from sentinel.core.tenants.trial import tell_resource
from sentinel.errors import NotMeasurable, SubjectError, TargetRejected
from sentinel.probes import Context, Kind, Options, faults_of_target

MAX_TABLES = 500


class TenantTable(Options):
    """Where the tenants are."""

    table: str = Field(description="table or view with a row for each tenant: public.tenants")
    column: str = Field("id", description="its column with the identity")


class TenantRowsOptions(Options):
    """Options of `tenant_rows`."""

    resource: str | None = Field(None, description="PostgreSQL resource")
    tables: list[str] = Field(
        [],
        max_length=MAX_TABLES,
        description="tables or views with their schema; default: all with the column",
    )
    column: str = Field("tenant_id", description="column with the tenant")
    fallback: list[str] = Field(
        [], max_length=20, description="tenants that stand for none, such as an all-zero id"
    )
    tenants: TenantTable | None = Field(
        None, description="where the tenants are; without it, unknown ones are not looked for"
    )

    @property
    def wish(self) -> OwnerWish:
        """The same, for the adapter."""
        where = (self.tenants.table, self.tenants.column) if self.tenants else None
        return OwnerWish(self.column, self.fallback, where)


async def run(options: TenantRowsOptions, context: Context) -> Finding:
    """Count in every table; one that can't be read stops none of the others."""
    client, begun = context.postgres(), context.monotonic()
    found = await find_tables(client, options.column, MAX_TABLES)
    wanted = {name if "." in name else f"public.{name}" for name in options.tables}
    tables = [table for table in found if not wanted or table.name in wanted]
    faults: list[Fault] = []
    counted: list[OrphanedRows] = []
    for name in sorted(wanted - {table.name for table in tables}):
        text = f"no such table with a column {options.column}"
        faults.append(unjudged({"table": name}, text, "correct the name, or grant USAGE"))
    for table in tables:
        if context.monotonic() - begun > 0.85 * context.timeout:
            text, guidance = "no time was left", "give the check a longer `timeout`"
            faults.append(unjudged({"table": table.name}, text, guidance))
            continue
        try:
            counted.append(await count_orphans(client, table, options.wish))
        except (SubjectError, NotMeasurable, TargetRejected) as error:
            text = f"refused ({error.code})" if error.code.startswith("22") else error.message
            faults.append(unjudged({"table": table.name}, text, error.guidance))
    if not tables and not faults:
        raise NotMeasurable(f"no table has a column {options.column}", "correct `column`")
    faults += [fault for rows in counted for fault in judge_orphans(rows)]
    return _finding(sort_faults(tell_resource(faults, client.name)), counted)


def _finding(faults: Sequence[Fault], counted: Sequence[OrphanedRows]) -> Finding:
    figures = f"{len(counted)} tables"
    rows: list[Row] = []
    for key in (MISSING, FALLBACK, UNKNOWN_TENANT):
        asked = [n for each in counted if (n := each.figures().get(key)) is not None]
        if asked:
            rows.append(Row({"why": key.removeprefix("tenant_")}, {"orphaned_rows": sum(asked)}))
    return Finding(
        judge(faults),
        f"{headline(faults)}; {figures}" if faults else f"{figures}, each row has its tenant",
        rows,
        {"tables": [each.table for each in counted][:200]},
        faults[0].guidance if faults else "",
        ("tables", str(len(counted))),
        faults,
    )


def _fault(key: str, meaning: str, **more: Any) -> FaultKind:
    return FaultKind(key, Severity.TICKET, "tenant-rows", meaning, ("table", "resource"), **more)


FAULTS = (
    _fault(MISSING, "rows without a tenant"),
    _fault(FALLBACK, "rows on the fallback tenant"),
    _fault(UNKNOWN_TENANT, "rows of a tenant that does not exist"),
    _fault("unjudged", "a table could not be counted, or policies hide its rows"),
    *faults_of_target("database-unreachable", rejected="database-degraded"),
)

KIND = Kind(
    name="tenant_rows",
    summary="Rows without a tenant, on a fallback tenant, or on one that does not exist",
    options=TenantRowsOptions,
    run=run,
    board="tenants",
    faults=FAULTS,
    resources={"resource": "postgres"},
    default_every=300.0,
    measurements=(
        Measurement(
            "orphaned_rows",
            "Rows that belong to no tenant, at most 1000 of each table, by why",
            "sentinel_tenant_orphaned_rows",
            labels=("why",),
        ),
    ),
    impact=(
        Impact(
            "rows that belong to no tenant",
            Section.WORK,
            (Term("orphaned_rows"),),
            basis="at most 1000 of each table are counted",
        ),
    ),
)
