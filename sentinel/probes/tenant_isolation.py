"""Kind `tenant_isolation`: can one tenant see another's rows? It is tried, as the application
would, and rolled back.

Two canary tenants that sentinel owns, A and B, each with a few rows. Per table, as the
application's role in a read-only transaction (measurement.md §6): B must see its own rows (else
there is nothing that could leak), A its own (else the probe is blind), neither any of others, and
without a tenant nobody anything. Of a leak only the number of rows is told, never a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field, SecretStr

from sentinel.adapters.postgres import PostgresClient, Query, identifier
from sentinel.core.fault import Fault, FaultKind, Labels, Severity, headline, judge
from sentinel.core.model import Finding, Impact, Measurement, Row, Section, Sli, Term
from sentinel.core.tenants.finding import (
    COUNTED,
    TenantAnswer,
    TenantSight,
    Trial,
    find_faults,
    judge_answer_to_tenant,
    judge_table,
    judge_without_tenant,
    name_paths,
    unjudged,
)
from sentinel.errors import NotMeasurable, SubjectError, TargetError, TargetRejected
from sentinel.probes import Context, Kind, Options, faults_of_target

PROBES = ("other_tenant", "no_tenant", "http")
RESULTS = ("pass", "leak", "error")
_FAILS_CLOSED = {"22P02", "42704"}


class HttpHalf(Options):
    """A request as tenant A whose answer must not hold anything of tenant B."""

    path: str = Field(
        pattern=r"^/[^\s#]*$", description="path and query to ask, such as a list or a search"
    )
    headers: dict[str, SecretStr] = Field(
        description="headers that make it tenant A's request, its token among them"
    )
    own_marker: str = Field(
        min_length=8, description="unique text in a row of A: must occur, or the probe is blind"
    )
    foreign_marker: str = Field(
        min_length=8, description="unique text in a row of B: must never occur"
    )


class TenantOptions(Options):
    """Options of `tenant_isolation`."""

    resource: str | None = Field(
        None, description="PostgreSQL resource; its role must be allowed to SET ROLE"
    )
    api: str | None = Field(None, description="HTTP resource of the requests")
    tables: list[str] = Field([], description="tables with their schema: public.tasks")
    column: str = Field("tenant_id", description="column with the tenant")
    setting: str = Field("app.tenant_id", description="setting that tells PostgreSQL the tenant")
    role: str = Field(description="role of the application", examples=["app"])
    tenant_a: str = Field(
        min_length=1, description="identity of canary tenant A", examples=["canary-a"]
    )
    tenant_b: str = Field(
        min_length=1, description="identity of canary tenant B", examples=["canary-b"]
    )
    requests: list[HttpHalf] = Field([], description="requests as tenant A")


class TenantState:
    """Results since sentinel began to watch."""

    def __init__(self, document: Any = None) -> None:
        self.totals: dict[str, int] = {
            f"{probe} {result}": 0 for probe in PROBES for result in RESULTS
        }
        self.totals.update(document or {})

    def dump(self) -> Any:
        """The counters."""
        return self.totals

    async def close(self) -> None:
        """Nothing is held."""


async def run(options: TenantOptions, context: Context) -> Finding:
    """Try every table and every request; one that can't be judged stops none of the others."""
    trials = [
        trial
        for table in options.tables
        for trial in await _try_table(options, context.postgres(), table)
    ]
    names = name_paths(request.path for request in options.requests)
    for name, request in zip(names, options.requests, strict=True):
        trials.append(await _try_request(name, request, context))
    if not trials:
        raise NotMeasurable("nothing to try", "name tables or requests in the check")
    for trial in trials:
        context.state.totals[f"{trial.probe} {trial.result}"] += 1
    return _finding(trials, context.state)


async def _try_table(options: TenantOptions, client: PostgresClient, table: str) -> list[Trial]:
    tries = {
        "no_tenant": await _no_tenant(options, client, table),
        "other_tenant": await _other_tenant(options, client, table),
    }
    told = {"role": options.role, "resource": client.name}
    return [Trial(probe, table, _tell(fault, told)) for probe, fault in tries.items()]


def _tell(fault: Fault | None, more: Mapping[str, str]) -> Fault | None:
    """What the runbook of a table needs beside the table."""
    return fault and replace(fault, parameters={**fault.parameters, **more})


async def _no_tenant(options: TenantOptions, client: PostgresClient, table: str) -> Fault | None:
    """Nobody may see anything; an error about the missing tenant is as good as no rows."""
    try:
        async with client.snapshot() as query:
            await _become(query, options)
            rows = await _count(query, f"select 1 from {identifier(table)}")  # noqa: S608
    except TargetError as error:
        if error.code in _FAILS_CLOSED:
            return None
        return _unjudged({"table": table}, error)
    return judge_without_tenant(table, rows)


async def _other_tenant(options: TenantOptions, client: PostgresClient, table: str) -> Fault | None:
    try:
        b = await _see(options, client, table, options.tenant_b)
        a = await _see(options, client, table, options.tenant_a)
    except TargetError as error:
        return _unjudged({"table": table}, error)
    return judge_table(table, options.role, a, b)


async def _see(
    options: TenantOptions, client: PostgresClient, table: str, tenant: str
) -> TenantSight:
    name, column = identifier(table), identifier(options.column)
    async with client.snapshot() as query:
        await _become(query, options)
        given = {"setting": options.setting, "tenant": tenant}
        await query("select set_config(%(setting)s, %(tenant)s, true)", given)
        active = await query(
            "select row_security_active(%(table)s::regclass) as active",
            {"table": name.replace("%%", "%")},
        )
        select = f"select 1 from {name} where {column}"  # noqa: S608
        own = await _count(query, f"{select} = %(tenant)s", tenant)
        foreign = await _count(query, f"{select} is distinct from %(tenant)s", tenant)
    return TenantSight(own, foreign, bool(active[0]["active"]))


async def _become(query: Query, options: TenantOptions) -> None:
    try:
        await query(f"set local role {identifier(options.role)}", {})
    except NotMeasurable as error:
        if error.code != "42501":
            raise
        guidance = (
            f"GRANT {identifier(options.role)} TO NAME WITH INHERIT FALSE, SET TRUE; NAME is sentinel's"
            " own role"
        )
        raise NotMeasurable(error.message, guidance, code=error.code) from error


async def _count(query: Query, select: str, tenant: str = "") -> int:
    """Rows of a select, at most a thousand: the number is told, the rows stay where they are."""
    sql = f"select count(*) as n from ({select} limit {COUNTED}) as found"  # noqa: S608
    return int((await query(sql, {"tenant": tenant}))[0]["n"])


async def _try_request(name: str, request: HttpHalf, context: Context) -> Trial:
    subject = {"path": name}
    headers = {key: value.get_secret_value() for key, value in request.headers.items()}
    try:
        client = context.http("api")
        response = await client.request(
            "GET", request.path, headers=headers, timeout=0.4 * context.timeout, max_body=1_048_576
        )
    except KeyError:
        return Trial("http", name, unjudged(subject, "no HTTP resource", "name one with `api:`"))
    except TargetError as error:
        return Trial("http", name, _unjudged(subject, error))
    answer = TenantAnswer(
        response.status,
        response.truncated,
        own=request.own_marker.encode() in response.body,
        foreign=request.foreign_marker.encode() in response.body,
    )
    return Trial("http", name, judge_answer_to_tenant(name, answer))


def _unjudged(subject: Labels, error: TargetError) -> Fault:
    """What says nothing of this subject alone goes on as the error of the whole check."""
    if not isinstance(error, SubjectError | NotMeasurable | TargetRejected):
        raise error
    text = error.message
    if error.code.startswith("22") and error.code != "22023":
        text = (  # a data exception quotes what is in the row
            f"the server refused the query ({error.code})"
        )
    return unjudged(subject, text, error.guidance)


def _finding(trials: Sequence[Trial], state: TenantState) -> Finding:
    faults = find_faults(trials)
    passed = sum(trial.result == "pass" for trial in trials)
    figures = f"{passed} of {len(trials)} probes passed"
    well = f"{passed} probes, no row of another tenant"
    return Finding(
        judge(faults),
        f"{headline(faults)}; {figures}" if faults else well,
        list(_rows(state)),
        {
            result: [f"{t.probe} {t.place}" for t in trials if t.result == result][:50]
            for result in RESULTS
        },
        faults[0].guidance if faults else "",
        ("probes", f"{passed}/{len(trials)} passed"),
        faults,
    )


def _rows(state: TenantState) -> Iterator[Row]:
    for probe in PROBES:
        for result in RESULTS:
            yield Row(
                {"probe": probe, "result": result},
                {"probes_total": float(state.totals[f"{probe} {result}"])},
            )


def _fault(key: str, severity: Severity, meaning: str, hold: float | None = None) -> FaultKind:
    told = ("table", "path", "role", "resource")
    return FaultKind(key, severity, "tenant-leak", meaning, told, hold=hold)


FAULTS = (
    _fault("leak", Severity.PAGE, "rows of another tenant are visible", hold=0.0),
    _fault("no_tenant", Severity.PAGE, "rows are visible without any tenant"),
    _fault("unguarded", Severity.PAGE, "row-level security is not active"),
    _fault("unjudged", Severity.TICKET, "nothing is proved: the control or the query failed"),
    *faults_of_target("database-unreachable", rejected="database-degraded"),
)

KIND = Kind(
    name="tenant_isolation",
    summary="Row-level security tried with two canary tenants, in the database and over HTTP",
    options=TenantOptions,
    run=run,
    board="tenants",
    faults=FAULTS,
    resources={"resource": "postgres", "api": "http?"},
    load_state=TenantState,
    patient=True,
    default_every=60.0,
    requests=lambda options: len(options.requests),
    measurements=(
        Measurement(
            "probes_total",
            "Tries to see rows of another tenant, by result",
            "sentinel_tenant_probe_total",
            "counter",
            labels=("probe", "result"),
        ),
    ),
    slis=(
        Sli(
            "isolated",
            "tries to see rows of another tenant that saw none",
            (Term("probes_total", {"result": "pass"}), Term("probes_total", {"result": "leak"})),
            (Term("probes_total", {"result": "pass"}),),
        ),
    ),
    impact=(
        Impact(
            "tries that saw rows of another tenant",
            Section.INCIDENT,
            (Term("probes_total", {"result": "leak"}),),
        ),
    ),
)
