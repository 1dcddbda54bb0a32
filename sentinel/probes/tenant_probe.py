"""Kind `tenant_probe`: can one tenant see or change another's rows? It is tried, as the application
would, and rolled back.

Two canary tenants that sentinel owns, A and B, each with a few rows. As each role that really holds
sessions, in read-only transactions (measurement.md §6): B must see its own rows (else there is
nothing that could leak), A its own (else the probe is blind), neither any of others, and without a
tenant, or with the empty one that a pooled session is left with, nobody anything. A role that can't
be taken and a table that was not tried are told. Of a leak only the number of rows is told, never a
row.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import Field, model_validator

from sentinel.adapters.postgres import PostgresClient, Query
from sentinel.adapters.tenants.trying import (
    TenantSurvey,
    TenantWish,
    TriedTable,
    count_rows,
    enter,
    see,
    survey,
    try_writing,
)
from sentinel.core.fault import Fault, FaultKind, Labels, Severity, headline, judge
from sentinel.core.model import AuditNote, Finding, Impact, Measurement, Row, Section
from sentinel.core.tenants.finding import (
    EMPTY,
    UNSET,
    judge_left,
    judge_role,
    judge_table,
    judge_without_tenant,
    judge_writes,
    unjudged,
)
from sentinel.core.tenants.memory import (
    ISOLATED,
    LEAKED,
    PROBES_TOTAL,
    TrialMemory,
    name_results,
)
from sentinel.core.tenants.trial import Trial, find_faults, tell_resource
from sentinel.errors import NotMeasurable, TargetError
from sentinel.probes import Context, Kind, Options, faults_of_target

PROBES = ("role", "left_setting", "no_tenant", "empty_tenant", "other_tenant", "write")


class CanarySetting(Options):
    """What the two canary tenants set beside the tenant itself."""

    tenant_a: str = Field(description="value for tenant A")
    tenant_b: str = Field(description="value for tenant B")


class TenantProbeOptions(Options):
    """Options of `tenant_probe`."""

    resource: str | None = Field(
        None, description="PostgreSQL resource; its role must be allowed to SET ROLE"
    )
    tables: list[str] = Field(
        [], description="tables with their schema, public.tasks; default: all with the column"
    )
    column: str = Field("tenant_id", description="column with the tenant")
    setting: str = Field("app.tenant_id", description="setting that tells PostgreSQL the tenant")
    tenant_a: str = Field(
        min_length=1, description="identity of canary tenant A", examples=["canary-a"]
    )
    tenant_b: str = Field(
        min_length=1, description="identity of canary tenant B", examples=["canary-b"]
    )
    other_settings: dict[str, CanarySetting] = Field(
        {}, description="further settings that the application sets, such as app.org_id"
    )
    roles: list[str] = Field(
        [], max_length=50, description="roles to try beside those that hold sessions"
    )
    except_roles: list[str] = Field(
        [], max_length=50, description="roles of people and tools, not of the application"
    )
    write: bool = Field(
        False,
        description=(
            "also try to write across tenants, rolled back: triggers run, and sequences move on"
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _name_what_moved(cls, given: Any) -> Any:
        """Keys of the kind that this one was once."""
        if isinstance(given, dict) and "role" in given:
            raise ValueError("`role: app` is now `roles: [app]`")
        if isinstance(given, dict) and {"requests", "api"} & given.keys():
            raise ValueError("`requests` and `api` are now a check of their own, kind tenant_http")
        return given

    @property
    def wish(self) -> TenantWish:
        """The same, for the adapter."""
        others = {
            name: (each.tenant_a, each.tenant_b) for name, each in self.other_settings.items()
        }
        settings = {self.setting: (self.tenant_a, self.tenant_b), **others}
        return TenantWish(self.column, settings, self.roles, self.except_roles)


async def run(options: TenantProbeOptions, context: Context) -> Finding:
    """Try every table as every role; one that can't be judged stops none of the others."""
    begun, client = context.monotonic(), context.postgres()
    limit = begun + 0.85 * context.timeout
    async with client.snapshot(fresh=True) as query:
        found = await survey(query, options.wish)
        trials = [*_judge_roles(found), *_judge_left(found, options)]
        tables, untried = _choose(found, options)
        look = _Look(options, client, tables, lambda: context.monotonic() > limit)
        roles = [r.name for r in found.roles if r.name in found.takes and not r.is_beyond]
        for role in roles:
            trials += [trial async for trial in look.without(query, role, "no_tenant", UNSET)]
    for role in roles:
        trials += [trial async for trial in look.as_role(role)]
    trials += [
        Trial("other_tenant", name, _missing(name)) for name in _find_missing(found, options)
    ]
    if not [trial for trial in trials if trial.probe != "left_setting"]:
        raise NotMeasurable(
            "nothing to try: no role of the application, or no table with a tenant",
            "name `roles`, and the `column` with the tenant",
        )
    notes = context.state.take(trials, context.utcnow())
    tried = _Tried(trials, found, tables, untried, roles, client.name)
    return _finding(tried, context.state, notes)


def _judge_roles(found: TenantSurvey) -> Iterator[Trial]:
    for role in found.roles:
        fault = judge_role(role, role.name in found.takes, found.me, found.version)
        yield Trial("role", role.name, fault)


def _judge_left(found: TenantSurvey, options: TenantProbeOptions) -> Iterator[Trial]:
    for name in options.wish.settings:
        yield Trial("left_setting", name, judge_left(name) if name in found.left else None)


def _choose(found: TenantSurvey, options: TenantProbeOptions) -> tuple[list[TriedTable], list[str]]:
    """The tables to try, and those that have the column and are not tried."""
    if not options.tables:
        return list(found.tables), []
    wanted = {_full(name) for name in options.tables}
    chosen = [table for table in found.tables if table.name in wanted]
    return chosen, [table.name for table in found.tables if table.name not in wanted]


def _find_missing(found: TenantSurvey, options: TenantProbeOptions) -> list[str]:
    known = {table.name for table in found.tables}
    return [name for name in options.tables if _full(name) not in known]


def _full(name: str) -> str:
    return name if "." in name else f"public.{name}"


def _missing(name: str) -> Fault:
    text = "no such table with the tenant column"
    return unjudged({"table": name}, text, "correct the name, or `column`")


@dataclass(frozen=True, slots=True)
class _Look:
    """The tries of one look; none begins once its time is over."""

    options: TenantProbeOptions
    client: PostgresClient
    tables: Sequence[TriedTable]
    is_over: Callable[[], bool]

    async def without(self, query: Query, role: str, probe: str, how: str) -> AsyncIterator[Trial]:
        """Nobody may see anything; an error about the missing tenant is as good as no rows."""
        empty = dict.fromkeys(self.options.wish.settings, "") if how == EMPTY else {}
        await query("SAVEPOINT nobody", {})
        await enter(query, role, empty)
        for table in self.tables:
            subject = {"table": table.name, "role": role}
            if self.is_over():
                yield Trial(probe, table.name, _no_time(subject), role)
                continue
            rows = await count_rows(query, table)
            if isinstance(rows, TargetError):
                yield Trial(probe, table.name, _unjudged(subject, rows), role)
            else:
                yield Trial(
                    probe, table.name, judge_without_tenant(table.name, role, rows, how), role
                )
        await query("ROLLBACK TO SAVEPOINT nobody", {})

    async def as_role(self, role: str) -> AsyncIterator[Trial]:
        """With an empty tenant, as A, as B, and writing if that is wanted."""
        async with self.client.snapshot() as query:
            async for trial in self.without(query, role, "empty_tenant", EMPTY):
                yield trial
        sights = [await self._see_all(role, which) for which in (0, 1)]
        for table in self.tables:
            subject = {"table": table.name, "role": role}
            a, b = (each.get(table.oid) for each in sights)
            fault: Fault | None
            if a is None or b is None:
                fault = _no_time(subject)
            elif isinstance(a, TargetError):
                fault = _unjudged(subject, a)
            elif isinstance(b, TargetError):
                fault = _unjudged(subject, b)
            else:
                fault = judge_table(table.name, role, a, b)
            yield Trial("other_tenant", table.name, fault, role)
            if self.options.write and fault is None:
                yield Trial("write", table.name, await self._write(role, table), role)

    async def _see_all(self, role: str, which: int) -> dict[int, Any]:
        tenant = (self.options.tenant_a, self.options.tenant_b)[which]
        found = {}
        async with self.client.snapshot() as query:
            await enter(query, role, self._settings(which))
            for table in self.tables:
                if not self.is_over():
                    found[table.oid] = await see(query, table, self.options.column, tenant)
        return found

    async def _write(self, role: str, table: TriedTable) -> Fault | None:
        """Only where reading showed that both have rows, and that policies hold."""
        subject = {"table": table.name, "role": role}
        if self.is_over():
            return _no_time(subject)
        tenants = self.options.tenant_a, self.options.tenant_b
        async with self.client.rehearsal() as query:
            await enter(query, role, self._settings(0))
            done = await try_writing(query, table, self.options.column, tenants)
        if done.open:
            return judge_writes(table.name, role, done.open)
        return _unjudged(subject, done.error) if done.error else None

    def _settings(self, which: int) -> dict[str, str]:
        return {name: pair[which] for name, pair in self.options.wish.settings.items()}


def _no_time(subject: Labels) -> Fault:
    text = "not tried: no time was left"
    return unjudged(subject, text, "give the check a longer `timeout`, or fewer `tables`")


def _unjudged(subject: Labels, error: TargetError) -> Fault:
    text = error.message
    if error.code.startswith("22") and error.code != "22023":
        text = (  # a data exception quotes what is in the row
            f"the server refused the query ({error.code})"
        )
    return unjudged(subject, text, error.guidance)


@dataclass(frozen=True, slots=True)
class _Tried:
    trials: Sequence[Trial]
    found: TenantSurvey
    tables: Sequence[TriedTable]
    untried: Sequence[str]
    roles: Sequence[str]
    resource: str


def _finding(tried: _Tried, state: TrialMemory, notes: Sequence[AuditNote]) -> Finding:
    trials, untried = tried.trials, tried.untried
    faults = tell_resource(find_faults(trials), tried.resource)
    passed = sum(trial.result == "pass" for trial in trials)
    left = f"; {len(untried)} tables with {'a' if untried else 'the'} tenant not tried"
    figures = f"{passed} of {len(trials)} probes passed{left if untried else ''}"
    well = f"{passed} probes, no row of another tenant{left if untried else ''}"
    return Finding(
        judge(faults),
        f"{headline(faults)}; {figures}" if faults else well,
        list(_rows(tried, state)),
        {
            "roles_tried": list(tried.roles)[:50],
            "tables_not_tried": list(untried)[:200],
            **name_results(trials),
        },
        faults[0].guidance if faults else "",
        ("probes", f"{passed}/{len(trials)} passed"),
        faults,
        notes,
    )


def _rows(tried: _Tried, state: TrialMemory) -> Iterator[Row]:
    yield Row(
        {},
        {
            "tables_tried": float(len(tried.tables)),
            "tables_untried": float(len(tried.untried)),
            "roles_tried": float(len(tried.roles)),
            "roles_untried": float(len(tried.found.roles) - len(tried.roles)),
        },
    )
    yield from state.rows()


def _fault(key: str, meaning: str, **more: Any) -> FaultKind:
    told = ("table", "role", "setting", "resource")
    return FaultKind(
        key, Severity.PAGE, "tenant-leak", meaning, told, hold=0.0, certain=True, **more
    )


FAULTS = (
    _fault("leak", "rows of another tenant are visible"),
    _fault("writes", "rows of another tenant can be written"),
    _fault("no_tenant", "rows are visible without any tenant"),
    _fault("unguarded", "row-level security is not active"),
    _fault("superuser", "sessions run as superuser: no policy holds for them"),
    _fault("left_behind", "a new session has a tenant before anybody sets one"),
    FaultKind(
        "unjudged",
        Severity.TICKET,
        "tenant-leak",
        "nothing is proved: the control or the query failed, or the role can't be taken",
        ("table", "role", "setting", "resource"),
    ),
    *faults_of_target("database-unreachable", rejected="database-degraded"),
)

KIND = Kind(
    name="tenant_probe",
    summary="Row-level security tried with two canary tenants, as each role that holds sessions",
    options=TenantProbeOptions,
    run=run,
    board="tenants",
    faults=FAULTS,
    formerly={
        "tenant_isolation": (
            "write `kind: tenant_probe`, and `roles: [app]` for `role: app`; its `requests` are a"
            " check of kind tenant_http"
        )
    },
    resources={"resource": "postgres"},
    load_state=partial(TrialMemory, PROBES),
    patient=True,
    default_every=60.0,
    measurements=(
        PROBES_TOTAL,
        Measurement("tables_tried", "Tables that were tried", "sentinel_tenant_tables_tried"),
        Measurement(
            "tables_untried",
            "Tables with a tenant that were not tried",
            "sentinel_tenant_tables_untried",
        ),
        Measurement("roles_tried", "Roles that were tried", "sentinel_tenant_roles_tried"),
        Measurement(
            "roles_untried",
            "Roles of the application that were not tried",
            "sentinel_tenant_roles_untried",
        ),
    ),
    slis=(ISOLATED,),
    impact=(
        Impact(
            "tries that saw rows of another tenant",
            Section.INCIDENT,
            LEAKED,
        ),
    ),
)
