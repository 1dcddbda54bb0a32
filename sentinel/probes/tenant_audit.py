"""Kind `tenant_audit`: does the catalogue of a PostgreSQL keep tenants apart?

Tables, policies, views, functions, rights and settings are judged for each role that really holds
sessions, and for those that are named (measurement.md §6, §11.13). Every finding has a stable key, its
rule, object and role, by which `accept` bears it until a day. With `evaluate` each policy is also run
over made-up rows, which runs the schema's functions: read-only, rolled back, no row of the platform
touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from sentinel.adapters.tenants.catalogue import CatalogueWish, read_catalogue
from sentinel.adapters.tenants.evaluation import EvaluationResult, evaluate_policies, name_untried
from sentinel.core.fault import FaultKind, Severity, headline, judge
from sentinel.core.model import Finding, Impact, Measurement, Row, Section
from sentinel.core.tenants.audit import CATALOGUE, CatalogueVerdict, SeenRoles, judge_catalogue
from sentinel.core.tenants.catalogue import CatalogueIndex
from sentinel.core.tenants.hole import HoleSeverity, count_holes
from sentinel.core.tenants.memory import ISOLATED, LEAKED, PROBES_TOTAL, TrialMemory
from sentinel.core.tenants.trial import tell_resource
from sentinel.errors import NotMeasurable
from sentinel.probes import Context, Kind, Options, faults_of_target
from sentinel.strict.field import Duration

SHOWN = 200
"""Findings in the evidence."""


class TenantAuditOptions(Options):
    """Options of `tenant_audit`."""

    resource: str | None = Field(None, description="PostgreSQL resource whose catalogue is read")
    columns: list[str] = Field(
        ["tenant_id"], min_length=1, max_length=20, description="names of columns with the tenant"
    )
    settings: list[str] = Field(
        ["app.tenant_id"], max_length=20, description="settings that tell PostgreSQL the tenant"
    )
    roles: list[str] = Field(
        [], max_length=50, description="roles to judge beside those that hold sessions"
    )
    except_roles: list[str] = Field(
        [], max_length=50, description="roles of people and tools, not of the application"
    )
    remember_roles: Duration = Field(
        86400.0, gt=0, description="how long a role is judged after its last session"
    )
    evaluate: bool = Field(
        False,
        description=(
            "also run each policy over made-up rows, read-only and rolled back; it runs the"
            " functions of the schema"
        ),
    )


class TenantAuditState(TrialMemory):
    """Which roles held sessions, and what was tried since sentinel began to watch."""

    def __init__(self, document: Any = None) -> None:
        super().__init__((CATALOGUE,), document)
        given: Mapping[str, Any] = document if isinstance(document, Mapping) else {}
        roles = given.get("roles") or {}
        self.roles = SeenRoles({str(k): datetime.fromisoformat(v) for k, v in roles.items()})

    def dump(self) -> Any:
        """What must survive a restart."""
        roles = {name: at.isoformat() for name, at in self.roles.last.items()}
        return {**super().dump(), "roles": roles}


async def run(options: TenantAuditOptions, context: Context) -> Finding:
    """Read the catalogue, judge it, and try its policies if that is wanted."""
    state: TenantAuditState = context.state
    now, begun = context.utcnow(), context.monotonic()
    keep = timedelta(seconds=options.remember_roles)
    wish = CatalogueWish(
        options.columns,
        options.settings,
        [name for name in options.roles if name not in options.except_roles],
        options.except_roles,
        [n for n in state.roles.take((), now, keep) if n not in options.except_roles],
    )
    catalogue = await read_catalogue(context.postgres(), wish)
    state.roles.take((role.name for role in catalogue.roles if role.sessions), now, keep)
    index = CatalogueIndex(catalogue)
    if not index.tables:
        named = ", ".join(options.columns)
        raise NotMeasurable(
            f"no table has a column {named}: nothing can be judged",
            "name the columns with the tenant in `columns`",
        )
    tried = EvaluationResult(0, (), ())
    if options.evaluate:
        limit = begun + 0.8 * context.timeout
        tried = await evaluate_policies(
            context.postgres(), index, lambda: context.monotonic() > limit
        )
    verdict = judge_catalogue(index, tried.holes, tried.untried)
    told = replace(verdict, faults=tell_resource(verdict.faults, context.postgres().name))
    return _finding(index, told, tried, state, now)


def _finding(
    index: CatalogueIndex,
    verdict: CatalogueVerdict,
    tried: EvaluationResult,
    state: TenantAuditState,
    now: datetime,
) -> Finding:
    roles = [role.name for role in index.catalogue.roles if role.judged]
    figures = f"{len(index.tables)} tables, {len(roles)} roles"
    faults = verdict.faults
    return Finding(
        judge(faults),
        f"{headline(faults)}; {figures}" if faults else f"{figures}, no way past the policies",
        list(_rows(index, verdict, tried, state)),
        {
            "roles": roles[:50],
            "findings": [
                {"key": hole.key, "severity": hole.severity.value, "text": hole.text}
                for hole in verdict.holes[:SHOWN]
            ],
            "policies_tried": tried.tried,
            "policies_not_tried": name_untried(tried.untried)[:50],
        },
        faults[0].guidance if faults else "",
        ("findings", str(_count(verdict))),
        faults,
        state.take(verdict.trials, now),
    )


def _count(verdict: CatalogueVerdict) -> int:
    return sum(hole.severity is not HoleSeverity.NOTE for hole in verdict.holes)


def _rows(
    index: CatalogueIndex,
    verdict: CatalogueVerdict,
    tried: EvaluationResult,
    state: TenantAuditState,
) -> Iterator[Row]:
    protected = sum(table.secured for table in index.tables)
    yield Row(
        {},
        {
            "tables": float(len(index.tables)),
            "tables_secured": float(protected),
            "policies_evaluated": float(tried.tried),
        },
    )
    for severity in HoleSeverity:
        n = sum(hole.severity is severity for hole in verdict.holes)
        yield Row({"severity": severity.value}, {"findings": float(n)})
    for (rule, level), n in sorted(count_holes(verdict.holes).items()):
        yield Row({"rule": rule, "severity": level}, {"rule_findings": float(n)})
    yield from state.rows()


def _fault(key: str, severity: Severity, meaning: str, **more: Any) -> FaultKind:
    return FaultKind(key, severity, "tenant-audit", meaning, ("table", "role", "resource"), **more)


FAULTS = (
    _fault(
        "superuser",
        Severity.PAGE,
        "sessions run as superuser: no policy holds for them",
        hold=0.0,
        certain=True,
    ),
    _fault(
        "hole",
        Severity.PAGE,
        "rows of another tenant can be reached",
        hold=0.0,
        certain=True,
    ),
    _fault("weakness", Severity.TICKET, "one more mistake, and rows of another tenant are open"),
    _fault("unjudged", Severity.TICKET, "nothing is proved of this role, table or policy"),
    *faults_of_target("database-unreachable", rejected="database-degraded"),
)

KIND = Kind(
    name="tenant_audit",
    summary="Row-level security as the catalogue has it, for each role that holds sessions",
    options=TenantAuditOptions,
    run=run,
    board="tenants",
    faults=FAULTS,
    resources={"resource": "postgres"},
    load_state=TenantAuditState,
    patient=True,
    default_every=300.0,
    measurements=(
        Measurement("tables", "Tables with a tenant", "sentinel_tenant_tables"),
        Measurement(
            "tables_secured",
            "Tables with a tenant whose row-level security is on",
            "sentinel_tenant_tables_secured",
        ),
        Measurement(
            "policies_evaluated",
            "Policies that were run over made-up rows at the last look",
            "sentinel_tenant_policies_evaluated",
        ),
        Measurement(
            "findings",
            "Ways past the isolation of tenants, by severity",
            "sentinel_tenant_isolation_findings",
            labels=("severity",),
        ),
        Measurement(
            "rule_findings",
            "Ways past the isolation of tenants, by the rule that found them",
            "sentinel_tenant_isolation_rule_findings",
            labels=("rule", "severity"),
        ),
        PROBES_TOTAL,
    ),
    slis=(ISOLATED,),
    impact=(
        Impact(
            "tables that the catalogue left open to a role",
            Section.INCIDENT,
            LEAKED,
        ),
    ),
)
