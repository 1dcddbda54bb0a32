"""Kind `tenant_isolation`: can one tenant see another's rows? It is tried, as the application
would, and rolled back.

Two canary tenants that sentinel owns, A and B, each with a few rows. Per table, as the
application's role in a read-only transaction (measurement.md §6): B must see its own rows (else
there is nothing that could leak), A its own (else the probe is blind), neither any of others, and
without a tenant nobody anything. Of a leak only the number of rows is told, never a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, SecretStr

from sentinel.adapters.postgres import PostgresClient, Query, identifier
from sentinel.core.fault import Status, worst
from sentinel.core.model import Finding, Measurement, Row
from sentinel.errors import NotMeasurable, SubjectError, TargetError, TargetRejected
from sentinel.probes import Context, Kind, Options

PROBES = ("other_tenant", "no_tenant", "http")
RESULTS = ("pass", "leak", "error")
_COUNTED = 1000
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
    role: str = Field(description="role of the application")
    tenant_a: str = Field(min_length=1, description="identity of canary tenant A")
    tenant_b: str = Field(min_length=1, description="identity of canary tenant B")
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


@dataclass(frozen=True, slots=True)
class Trial:
    """One try: what came of it, in words without content, and the next step."""

    probe: str
    subject: str
    result: str
    text: str = ""
    guidance: str = ""


async def run(options: TenantOptions, context: Context) -> Finding:
    """Try every table and every request; one that can't be judged stops none of the others."""
    trials = [
        trial
        for table in options.tables
        for trial in await _try_table(options, context.postgres(), table)
    ]
    trials += [await _try_request(request, context) for request in options.requests]
    if not trials:
        raise NotMeasurable("nothing to try", "name tables or requests in the check")
    for trial in trials:
        context.state.totals[f"{trial.probe} {trial.result}"] += 1
    return _finding(trials, context.state)


async def _try_table(options: TenantOptions, client: PostgresClient, table: str) -> list[Trial]:
    return [await _no_tenant(options, client, table), await _other_tenant(options, client, table)]


async def _no_tenant(options: TenantOptions, client: PostgresClient, table: str) -> Trial:
    """Nobody may see anything; an error about the missing tenant is as good as no rows."""
    try:
        async with client.snapshot() as query:
            await _become(query, options)
            rows = await _count(query, f"select 1 from {identifier(table)}")  # noqa: S608
    except TargetError as error:
        if error.code in _FAILS_CLOSED:
            return Trial("no_tenant", table, "pass")
        return _unjudged("no_tenant", table, error)
    if rows:
        text = f"{_at_least(rows)} visible without any tenant set"
        return _leak("no_tenant", table, text, "make the policy fail closed")
    return Trial("no_tenant", table, "pass")


async def _other_tenant(options: TenantOptions, client: PostgresClient, table: str) -> Trial:
    try:
        b = await _see(options, client, table, options.tenant_b)
        a = await _see(options, client, table, options.tenant_a)
    except TargetError as error:
        return _unjudged("other_tenant", table, error)
    if leak := a.foreign or b.foreign:
        guidance = (
            "take the table out of service or correct its policy at once; audit who has read it"
        )
        return _leak("other_tenant", table, f"{_at_least(leak)} of other tenants visible", guidance)
    if not a.guarded:
        text = f"row-level security is not active for {options.role}"
        return _leak(
            "other_tenant",
            table,
            text,
            "ENABLE and FORCE ROW LEVEL SECURITY; take BYPASSRLS from the role",
        )
    for name, sight in (("A", a), ("B", b)):
        if not sight.own:
            text = f"nothing to see: control failed, tenant {name} sees no row of its own"
            return Trial(
                "other_tenant", table, "error", text, "give both canary tenants a row in each table"
            )
    return Trial("other_tenant", table, "pass")


@dataclass(frozen=True, slots=True)
class Sight:
    """What one tenant sees of a table: own and foreign rows (at most a thousand counted), and if
    policies apply.
    """

    own: int
    foreign: int
    guarded: bool


async def _see(options: TenantOptions, client: PostgresClient, table: str, tenant: str) -> Sight:
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
    return Sight(own, foreign, bool(active[0]["active"]))


async def _become(query: Query, options: TenantOptions) -> None:
    await query(f"set local role {identifier(options.role)}", {})


async def _count(query: Query, select: str, tenant: str = "") -> int:
    """Rows of a select, at most a thousand: the number is told, the rows stay where they are."""
    sql = f"select count(*) as n from ({select} limit {_COUNTED}) as found"  # noqa: S608
    return int((await query(sql, {"tenant": tenant}))[0]["n"])


def _at_least(rows: int) -> str:
    return f"{rows} or more rows" if rows >= _COUNTED else f"{rows} row{'s' * (rows != 1)}"


async def _try_request(request: HttpHalf, context: Context) -> Trial:
    """The marker of B must not be in the answer to A, and A's own must, or the answer proves
    nothing.
    """
    headers = {name: value.get_secret_value() for name, value in request.headers.items()}
    try:
        client = context.http("api")
        response = await client.request(
            "GET", request.path, headers=headers, timeout=0.4 * context.timeout, max_body=1_048_576
        )
    except KeyError:
        return Trial("http", request.path, "error", "no HTTP resource", "name one with `api:`")
    except TargetError as error:
        return _unjudged("http", request.path, error)
    if request.foreign_marker.encode() in response.body:
        text = "the answer to tenant A holds the marker of tenant B"
        return _leak("http", request.path, text, "stop serving this path")
    if response.truncated:
        return Trial(
            "http",
            request.path,
            "error",
            "answer longer than 1 MiB",
            "ask for fewer rows in the path",
        )
    if request.own_marker.encode() not in response.body:
        text = (
            f"nothing to see: control failed, status {response.status} without the marker of"
            " tenant A"
        )
        return Trial(
            "http",
            request.path,
            "error",
            text,
            "check token and path; tenant A must find its own row",
        )
    return Trial("http", request.path, "pass")


def _leak(probe: str, subject: str, text: str, guidance: str) -> Trial:
    return Trial(probe, subject, "leak", f"LEAK {subject}: {text}", guidance)


def _unjudged(probe: str, subject: str, error: TargetError) -> Trial:
    """What says nothing of this subject alone goes on as the error of the whole check."""
    if not isinstance(error, SubjectError | NotMeasurable | TargetRejected):
        raise error
    guidance, text = error.guidance, error.message
    if error.code.startswith("22") and error.code != "22023":
        text = (  # a data exception quotes what is in the row
            f"the server refused the query ({error.code})"
        )
    if error.code == "42501" and "set role" in error.message:
        guidance = "GRANT the application's role to sentinel's WITH INHERIT FALSE, SET TRUE"
    return Trial(probe, subject, "error", f"{subject}: {text}", guidance)


_STATUS = {"pass": Status.UP, "leak": Status.DOWN, "error": Status.UNKNOWN}


def _finding(trials: Sequence[Trial], state: TenantState) -> Finding:
    bad = sorted(
        (t for t in trials if t.result != "pass"), key=lambda trial: -_STATUS[trial.result].rank
    )
    passed = len(trials) - len(bad)
    return Finding(
        worst([_STATUS[trial.result] for trial in trials]),
        "; ".join(trial.text for trial in bad[:3]) or f"{passed} probes, no row of another tenant",
        list(_rows(state)),
        {
            result: [f"{t.probe} {t.subject}" for t in trials if t.result == result][:50]
            for result in RESULTS
        },
        bad[0].guidance if bad else "",
        ("probes", f"{passed}/{len(trials)} passed"),
    )


def _rows(state: TenantState) -> Iterator[Row]:
    for probe in PROBES:
        for result in RESULTS:
            yield Row(
                {"probe": probe, "result": result},
                {"probes_total": float(state.totals[f"{probe} {result}"])},
            )


KIND = Kind(
    name="tenant_isolation",
    summary="Row-level security tried with two canary tenants, in the database and over HTTP",
    options=TenantOptions,
    run=run,
    resources={"resource": "postgres", "api": "http?"},
    load_state=TenantState,
    default_every=60.0,
    measurements=(
        Measurement(
            "probes_total",
            "Tries to see rows of another tenant, by result",
            "sentinel_tenant_probe_total",
            "counter",
            labels=("probe", "result"),
        ),
    ),
)
