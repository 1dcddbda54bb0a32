"""Kind `tenant_probe`: each injected hole is found, a sound table passes, and no row content is
told.
"""

from __future__ import annotations

import psycopg
import pytest

from sentinel.adapters.postgres import PostgresClient
from sentinel.core.fault import Status
from sentinel.core.tenants.trial import TrialRecord
from sentinel.errors import NotMeasurable, TargetUnreachable
from sentinel.probes.tenant_probe import KIND, TenantProbeOptions

A, B = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
GOOD = "tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid"
RAW = "tenant_id = current_setting('app.tenant_id', true)::uuid"
OPEN = (
    "tenant_id::text = current_setting('app.tenant_id', true)"
    " or coalesce(current_setting('app.tenant_id', true), '') = ''"
)


SOUND = {"other_tenant pass": 1, "no_tenant pass": 1, "empty_tenant pass": 1}


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

    async def once(*tables: str, state=None, user: str = "auditor", **options):
        client = PostgresClient("main", postgres.dsn(user=user), statement_timeout=0.5)
        clients.append(client)
        given = {
            "tables": list(tables), "roles": ["app_user"], "except_roles": ["postgres"],
            "tenant_a": A, "tenant_b": B,
        } | options  # fmt: skip
        context = make_context({"resource": client}, state=state or KIND.load_state())
        finding = await KIND.run(TenantProbeOptions.model_validate(given), context)
        for fault in finding.faults:
            assert set(fault.parameters) <= set(KIND.fault_kinds[fault.key].parameters)
        return finding

    yield once
    for client in clients:
        await client.close()


def places(finding) -> set[tuple[str, str]]:
    """What is wrong with which table, role or setting."""
    return {(fault.key, next(iter(fault.subject.values()))) for fault in finding.faults}


def totals(finding) -> dict[str, float]:
    """Counters that are not zero."""
    return {
        f"{row.labels['probe']} {row.labels['result']}": row.values["probes_total"]
        for row in finding.rows
        if row.values.get("probes_total") and row.labels["probe"] not in {"role", "left_setting"}
    }


async def test_sound_table_passes_for_a_role_without_data_rights(look, table):
    """The monitor's role can't read the table itself, only take the application's role."""
    finding = await look(table("sound"))
    assert finding.status is Status.UP, finding.detail
    assert totals(finding) == SOUND
    assert len(finding.rows) == 19


async def test_cast_that_fails_without_a_tenant_is_closed(look, table):
    """22P02 after the setting was '' is fail closed, at the first and at later looks."""
    name, state = table("raw", RAW), KIND.load_state()
    for _ in range(2):
        finding = await look(name, state=state)
        assert finding.status is Status.UP, finding.detail
    assert totals(finding) == dict.fromkeys(SOUND, 2)


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
    assert totals(finding) == {"other_tenant leak": 1, "no_tenant leak": 1, "empty_tenant leak": 1}


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
    assert totals(finding) == {"other_tenant pass": 1, "no_tenant leak": 1, "empty_tenant leak": 1}
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
        "empty_tenant leak": 1, "empty_tenant pass": 1, "no_tenant leak": 1, "no_tenant pass": 1,
    }  # fmt: skip
    assert places(finding) == {
        ("leak", "tenant.leaky"), ("no_tenant", "tenant.leaky"), ("unjudged", "tenant.nowhere"),
    }  # fmt: skip
    assert "5 of 9 probes passed" in finding.detail


async def test_role_that_may_not_be_taken_is_unknown(look, table):
    """The missing membership is named with its remedy."""
    finding = await look(table("sound2"), user="stranger")
    assert finding.status is Status.UNKNOWN
    assert finding.faults[0].cure == (
        'GRANT "app_user" TO "stranger" WITH INHERIT FALSE, SET TRUE;',
    )


async def test_dead_server_is_no_verdict_on_isolation(make_context):
    """Unreachable is raised as such; it is not a counted probe."""
    client = PostgresClient("main", "postgresql://u@127.0.0.1:1/x")
    options = TenantProbeOptions.model_validate(
        {"tables": ["t.t"], "roles": ["r"], "tenant_a": A, "tenant_b": B}
    )
    with pytest.raises(TargetUnreachable):
        await KIND.run(options, make_context({"resource": client}, state=KIND.load_state()))


async def test_errors_do_not_quote_rows(look, table):
    """A policy that chokes on a row would quote it: only the code is told."""
    finding = await look(table("choking", "secret::int > 0"))
    assert finding.status is Status.UNKNOWN
    assert "22P02" in finding.detail
    assert "top-secret" not in repr(finding)


async def test_counters_survive_a_restart(look, table):
    """Totals go on from the document."""
    name, state = table("again"), KIND.load_state()
    await look(name, state=state)
    assert totals(await look(name, state=KIND.load_state(state.dump())))["other_tenant pass"] == 2


async def test_nothing_to_try_is_unknown(look, db):
    """Without a role of the application there is nothing to try."""
    with pytest.raises(NotMeasurable, match="nothing to try"):
        await look(roles=[])


async def test_every_table_with_the_column_is_tried(look, table):
    """Where none is named; those that are left out of a list are told."""
    name = table("first")
    table("second", "true")
    finding = await look()
    assert ("leak", "tenant.second") in places(finding)
    finding = await look(name)
    assert finding.status is Status.UP
    assert finding.evidence["tables_not_tried"] == ["tenant.second"]
    assert "1 tables with a tenant not tried" in finding.detail


async def test_roles_that_hold_sessions_are_tried_or_told(look, table, db, postgres):
    """One that sentinel can't take is no pass; a superuser is the verdict."""
    name = table("session")
    db.execute(
        "do $$ begin create role tp_root superuser login; exception when duplicate_object"
        " then null; end $$"
    )
    with psycopg.connect(postgres.dsn(user="stranger")):
        finding = await look(name)
    assert finding.status is Status.UNKNOWN
    assert places(finding) == {("unjudged", "stranger")}
    with psycopg.connect(postgres.dsn(user="tp_root")):
        finding = await look(name)
    assert finding.status is Status.DOWN
    assert finding.faults[0].text == "not isolated: sessions run as superuser tp_root"


async def test_a_setting_that_was_left_behind_is_found(look, table, db):
    """As a pooled session that was not reset, or a default of the role."""
    db.execute(f"alter role auditor set app.tenant_id = '{A}'")
    try:
        finding = await look(table("left"))
    finally:
        db.execute("alter role auditor reset app.tenant_id")
    assert ("left_behind", "app.tenant_id") in places(finding)
    assert finding.status is Status.DOWN
    assert A not in repr(finding)


async def test_several_settings_are_set_together(look, table):
    """A policy that asks for the organisation, too."""
    name = table(
        "org",
        f"{GOOD} and current_setting('app.org_id', true) = 'org-' || left(tenant_id::text, 1)",
    )
    settings = {"app.org_id": {"tenant_a": "org-a", "tenant_b": "org-b"}}
    assert (await look(name)).status is Status.UNKNOWN
    assert (await look(name, other_settings=settings)).status is Status.UP


WRITES = {
    "sound": ("", set()),
    "check true": ("create policy w on {t} for insert to app_user with check (true)", {"insert"}),
}  # fmt: skip


@pytest.mark.parametrize("case", WRITES)
async def test_writing_across_tenants(look, table, db, case):
    """Tried only where that is wanted, and rolled back; a violated constraint is no refusal."""
    sql, ways = WRITES[case]
    name = table(f"write_{len(case)}")
    db.execute(f"alter table {name} add id int unique generated always as identity")
    db.execute(f"grant insert, update, delete on {name} to app_user")
    if sql:
        db.execute(
            f"create policy r on {name} as restrictive for select to app_user using ({GOOD})"
        )
        db.execute(sql.format(t=name))
    before = db.execute(f"select * from {name} order by id").fetchall()
    assert (await look(name)).status is Status.UP
    finding = await look(name, write=True)
    found = {way for way in ("insert", "update", "delete") if way in finding.detail}
    assert found == ways, finding.detail
    assert totals(finding)[f"write {'leak' if ways else 'pass'}"] == 1
    assert db.execute(f"select * from {name} order by id").fetchall() == before


async def test_without_time_nothing_is_proved(look, table, make_context, postgres):
    """Tables that were not reached are unknown, not well."""
    client = PostgresClient("main", postgres.dsn(user="auditor"))
    options = TenantProbeOptions.model_validate(
        {"tables": [table("late")], "roles": ["app_user"], "except_roles": ["postgres"],
         "tenant_a": A, "tenant_b": B}
    )  # fmt: skip
    ticks = iter(range(0, 10_000, 100))
    context = make_context(
        {"resource": client}, state=KIND.load_state(), monotonic=lambda: float(next(ticks))
    )
    finding = await KIND.run(options, context)
    await client.close()
    assert finding.status is Status.UNKNOWN
    assert "no time was left" in finding.detail


async def test_each_look_leaves_its_record(look, table):
    """At the first look, and when a result changes."""
    name, state = table("noted"), KIND.load_state()
    first = TrialRecord.read((await look(name, state=state)).notes[0].detail)
    assert first.outcomes["pass"]["other_tenant app_user"] == [name]
    assert (await look(name, state=KIND.load_state(state.dump()))).notes == []


@pytest.mark.parametrize(
    ("given", "remedy"),
    [({"role": "app"}, "roles: .app."), ({"requests": []}, "tenant_http")],
)
def test_old_keys_are_told(given, remedy):
    """What the kind was once is refused with what to write."""
    with pytest.raises(ValueError, match=remedy):
        TenantProbeOptions.model_validate({"tenant_a": A, "tenant_b": B, **given})
