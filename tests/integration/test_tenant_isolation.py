"""Kind `tenant_isolation`: each injected hole is found, a sound table passes, and no row content is
told.
"""

from __future__ import annotations

import psycopg
import pytest
from aiohttp import web

from sentinel.adapters.http.client import HttpClient
from sentinel.adapters.postgres import PostgresClient
from sentinel.core.fault import Status
from sentinel.demo.servers import free_port
from sentinel.errors import NotMeasurable, TargetUnreachable
from sentinel.probes.tenant_isolation import KIND, TenantOptions, TenantState

A, B = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
GOOD = "tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid"
RAW = "tenant_id = current_setting('app.tenant_id', true)::uuid"
OPEN = (
    "tenant_id::text = current_setting('app.tenant_id', true)"
    " or coalesce(current_setting('app.tenant_id', true), '') = ''"
)


@pytest.fixture
def db(postgres):
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        for role in ("app_user", "auditor login", "stranger login"):
            connection.execute(
                f"do $$ begin create role {role}; exception when duplicate_object then null; end $$"
            )
        connection.execute("grant app_user to auditor with inherit false, set true")
        connection.execute("drop schema if exists tenant cascade; create schema tenant")
        connection.execute("grant usage on schema tenant to app_user")
        yield connection


@pytest.fixture
def table(db):
    """Makes a table with rows of both tenants under a policy."""

    def make(
        name: str, policy: str = GOOD, secured: bool = True, tenants: tuple[str, ...] = (A, A, B)
    ) -> str:
        db.execute(f"create table tenant.{name} (tenant_id uuid, secret text)")
        db.execute(f"grant select on tenant.{name} to app_user")
        for tenant in tenants:
            db.execute(f"insert into tenant.{name} values (%s, 'top-secret')", (tenant,))
        if secured:
            db.execute(f"alter table tenant.{name} enable row level security")
        db.execute(f"create policy p on tenant.{name} to app_user using ({policy})")
        return f"tenant.{name}"

    return make


@pytest.fixture
async def look(postgres, make_context, db):
    clients = []

    async def once(*tables: str, state=None, user: str = "auditor", api=None, **options):
        client = PostgresClient("main", postgres.dsn(user=user), statement_timeout=0.5)
        clients.append(client)
        given = {"tables": list(tables), "role": "app_user", "tenant_a": A, "tenant_b": B} | options
        roles = {"resource": client} | ({"api": api} if api else {})
        context = make_context(roles, state=state or TenantState())
        finding = await KIND.run(TenantOptions.model_validate(given), context)
        for fault in finding.faults:
            assert set(fault.parameters) <= set(KIND.fault_kinds[fault.key].parameters)
        return finding

    yield once
    for client in clients:
        await client.close()


def places(finding) -> set[tuple[str, str]]:
    """What is wrong with which table or path."""
    return {(fault.key, *fault.subject.values()) for fault in finding.faults}


def totals(finding) -> dict[str, float]:
    """Counters that are not zero."""
    return {
        f"{row.labels['probe']} {row.labels['result']}": row.values["probes_total"]
        for row in finding.rows
        if row.values["probes_total"]
    }


async def test_sound_table_passes_for_a_role_without_data_rights(look, table):
    """The monitor's role can't read the table itself, only take the application's role."""
    finding = await look(table("sound"))
    assert finding.status is Status.UP, finding.detail
    assert totals(finding) == {"other_tenant pass": 1, "no_tenant pass": 1}
    assert len(finding.rows) == 9


async def test_cast_that_fails_without_a_tenant_is_closed(look, table):
    """22P02 after the setting was '' is fail closed, at the first and at later looks."""
    name, state = table("raw", RAW), TenantState()
    for _ in range(2):
        finding = await look(name, state=state)
        assert finding.status is Status.UP, finding.detail
    assert totals(finding) == {"other_tenant pass": 2, "no_tenant pass": 2}


async def test_second_permissive_policy_leaks(look, table, db):
    """Policies are OR-ed: the foreign row is counted, its content is not told."""
    name = table("wide")
    db.execute("create policy q on tenant.wide to app_user using (true)")
    finding = await look(name)
    assert finding.status is Status.DOWN
    assert "LEAK tenant.wide" in finding.detail
    assert places(finding) == {("no_tenant", "tenant.wide"), ("leak", "tenant.wide")}
    assert "top-secret" not in repr(finding)
    assert A not in repr(finding)
    assert totals(finding) == {"other_tenant leak": 1, "no_tenant leak": 1}


async def test_leaked_rows_are_counted_exactly(look, table):
    """Three rows of B under a policy that lets all pass."""
    finding = await look(table("counted", "true", tenants=(A, B, B, B)))
    (leak,) = (fault for fault in finding.faults if fault.key == "leak")
    assert "3 rows of other tenants visible" in leak.text
    assert (leak.count.lo, leak.count.hi) == (3, 3)


async def test_fail_open_without_a_tenant_is_a_leak(look, table):
    """A policy that passes when the setting is empty."""
    finding = await look(table("open", OPEN))
    assert finding.status is Status.DOWN
    assert totals(finding) == {"other_tenant pass": 1, "no_tenant leak": 1}
    assert "without any tenant" in finding.detail


async def test_security_switched_off_is_a_leak(look, table):
    """Policies without ENABLE do nothing."""
    assert (await look(table("off", secured=False))).status is Status.DOWN


async def test_security_off_is_seen_even_when_no_foreign_row_is_there(look, table):
    """RLS is off and the table is empty: nothing leaks today, and it is a hole all the same."""
    finding = await look(table("off_empty", secured=False, tenants=()))
    assert "row-level security is not active" in finding.detail
    assert places(finding) == {("unguarded", "tenant.off_empty")}


async def test_owner_without_force_bypasses(look, table, db):
    """The application owns the table and RLS is not forced."""
    name = table("owned")
    db.execute(
        "grant create on schema tenant to app_user; alter table tenant.owned owner to app_user"
    )
    assert (await look(name)).status is Status.DOWN


@pytest.mark.parametrize(("tenants", "who"), [((A,), "B"), ((B,), "A"), ((), "A")])
async def test_without_canary_rows_nothing_is_proved(look, table, tenants, who):
    """Positive control: a tenant that sees no row of its own makes the pass worthless."""
    finding = await look(table("empty", tenants=tenants))
    assert finding.status is Status.UNKNOWN
    assert f"control failed, tenant {who}" in finding.detail


async def test_policy_that_hides_everything_fails_the_control(look, table):
    """using (false) leaks nothing, and proves nothing."""
    assert (await look(table("denied", "false"))).status is Status.UNKNOWN


async def test_one_missing_table_does_not_stop_the_others(look, table):
    """The error is that table's; a leak elsewhere is still down."""
    finding = await look("tenant.nowhere", table("leaky", "true"), table("fine"))
    assert finding.status is Status.DOWN
    assert totals(finding) == {
        "other_tenant error": 1, "other_tenant leak": 1, "other_tenant pass": 1,
        "no_tenant error": 1, "no_tenant leak": 1, "no_tenant pass": 1,
    }  # fmt: skip
    assert places(finding) == {
        ("leak", "tenant.leaky"), ("no_tenant", "tenant.leaky"), ("unjudged", "tenant.nowhere"),
    }  # fmt: skip
    assert "2 of 6 probes passed" in finding.detail


async def test_role_that_may_not_be_taken_is_unknown(look, table):
    """The missing membership is named with its remedy."""
    finding = await look(table("sound2"), user="stranger")
    assert finding.status is Status.UNKNOWN
    assert "SET TRUE" in finding.guidance


async def test_dead_server_is_no_verdict_on_isolation(make_context):
    """Unreachable is raised as such; it is not a counted probe."""
    client = PostgresClient("main", "postgresql://u@127.0.0.1:1/x")
    options = TenantOptions.model_validate(
        {"tables": ["t.t"], "role": "r", "tenant_a": A, "tenant_b": B}
    )
    with pytest.raises(TargetUnreachable):
        await KIND.run(options, make_context({"resource": client}, state=TenantState()))


async def test_errors_do_not_quote_rows(look, table):
    """A policy that chokes on a row would quote it: only the code is told."""
    finding = await look(table("choking", "secret::int > 0"))
    assert finding.status is Status.UNKNOWN
    assert "22P02" in finding.detail
    assert "top-secret" not in repr(finding)


async def test_counters_survive_a_restart(look, table):
    """Totals go on from the document."""
    name, state = table("again"), TenantState()
    await look(name, state=state)
    assert totals(await look(name, state=TenantState(state.dump())))["other_tenant pass"] == 2


@pytest.mark.parametrize(
    ("body", "status", "result"),
    [
        ("rows: marker-of-a", Status.UP, "pass"),
        ("rows: marker-of-a, marker-of-b", Status.DOWN, "leak"),
        ("rows: none", Status.UNKNOWN, "error"),
    ],
)
async def test_http_half(look, body, status, result):
    """A's own marker must occur, B's must not; the token is sent and never shown."""
    tokens = []

    async def rows(request: web.Request) -> web.Response:
        tokens.append(request.headers["Authorization"])
        return web.Response(text=body)

    runner = web.AppRunner(app := web.Application())
    app.router.add_get("/tasks", rows)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port := free_port()).start()
    api = HttpClient("api", f"http://127.0.0.1:{port}")
    request = {
        "path": "/tasks",
        "headers": {"Authorization": "Bearer of-a"},
        "own_marker": "marker-of-a",
        "foreign_marker": "marker-of-b",
    }
    finding = await look(api=api, requests=[request])
    await api.close()
    await runner.cleanup()
    assert finding.status is status
    assert totals(finding) == {f"http {result}": 1}
    assert {where for _, where in places(finding)} == (set() if result == "pass" else {"/tasks"})
    assert tokens == ["Bearer of-a"]
    assert "of-a" not in repr(finding).replace("marker-of-a", "")


async def test_nothing_to_try_is_unknown(look):
    """A check without tables and requests says so."""
    with pytest.raises(NotMeasurable, match="nothing to try"):
        await look()
