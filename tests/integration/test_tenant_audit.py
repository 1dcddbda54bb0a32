"""Kind `tenant_audit` on real servers: every planted hole is found, a sound schema gives nothing, and
what it says of random policies is what an oracle gets that tries them.
"""

from __future__ import annotations

import random
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from sentinel.adapters.postgres import PostgresClient
from sentinel.core.fault import Acceptance, Status, step
from sentinel.core.tenants.trial import TrialRecord
from sentinel.errors import NotMeasurable
from sentinel.probes.tenant_audit import KIND, TenantAuditOptions, TenantAuditState
from tests.integration import tenant_rig as rig

GOOD = "tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid"


EACH_SERVER = pytest.mark.parametrize("server", ["postgres", "postgres15"], indirect=True)


@pytest.fixture
def server(request):
    """PostgreSQL 18, or the one that is named."""
    return request.getfixturevalue(getattr(request, "param", "postgres"))


@pytest.fixture
async def look(make_context):
    """One look at a database, as a role that may do nothing there but look."""
    clients = []

    async def once(server, database: str, state=None, user: str = "th_watch", **options):
        client = PostgresClient("main", server.dsn(database, user))
        options.setdefault("except_roles", ["postgres"])  # who makes the schema holds a session
        clients.append(client)
        context = make_context(
            {"resource": client}, state=state or TenantAuditState(), timeout=30.0
        )
        finding = await KIND.run(TenantAuditOptions.model_validate(options), context)
        for fault in finding.faults:
            assert set(fault.parameters) <= set(KIND.fault_kinds[fault.key].parameters)
        return finding

    yield once
    for client in clients:
        await client.close()


def keys(finding, *severities: str) -> set[str]:
    """The stable keys of what was found."""
    wanted = severities or ("critical", "warning", "note")
    return {f["key"] for f in finding.evidence["findings"] if f["severity"] in wanted}


PLANTED = {
    "role_can_become_bypass th_app th_app",
    "rls_disabled holes.h01_disabled th_app",
    "rls_disabled holes.h02_policy_disabled th_app",
    "policy_always_true holes.h03_using_true th_app",
    "policy_check_true holes.h04_check_true th_app",
    "policy_without_tenant_column holes.h05_or th_app",
    "rls_owner_bypass holes.h06_owner th_app",
    "policy_fail_open holes.h07_failopen th_app",
    "policy_without_tenant_column holes.h08_wrongcol th_app",
    "rls_disabled holes.h09_part_1 th_app",
    "view_bypasses_rls holes.h10_view th_app",
    "view_bypasses_rls holes.h11_viewview th_app",
    "matview_no_rls holes.h12_mat th_app",
    "security_definer_executable holes.h13_definer() th_app",
    "truncate_granted holes.h14_trunc th_app",
    "setting_cast_unsafe holes.h15_cast th_app",
    "unique_across_tenants holes.h16_uniq",
    "tenant_column_nullable holes.h17_null",
}


@EACH_SERVER
async def test_every_planted_hole_is_found(server, look):
    """All of the known kinds, by stable keys, seen by a role without any right on the data."""
    address = rig.make_database(server, "planted")
    with psycopg.connect(address, autocommit=True) as db:
        db.execute(rig.HOLES)
    finding = await look(server, "planted", roles=["th_app"])
    assert keys(finding) >= PLANTED, PLANTED - keys(finding)
    assert not [key for key in keys(finding) if " holes.ok " in f"{key} "]
    assert finding.status is Status.DOWN


@EACH_SERVER
@pytest.mark.parametrize("types", ["one", pytest.param("all", marks=pytest.mark.nightly)])
async def test_what_is_said_is_what_an_oracle_gets(server, look, types):
    """Every pattern for every role, each for one of its types, at night for all: critical where a
    role really gets at rows, else not.
    """
    dice = random.Random(1) if types == "one" else None
    address = rig.make_database(server, "patterns")
    made = rig.build(address, (*rig.SOUND, *rig.OPEN), dice)
    assert len(made) >= 30
    roles = ["th_app", "th_member", "th_owner"]
    finding = await look(server, "patterns", roles=roles, evaluate=True)
    assert not finding.evidence["policies_not_tried"]
    wrong = compare(server, "patterns", finding, made, roles)
    assert not wrong, wrong


@pytest.mark.nightly
@EACH_SERVER
@pytest.mark.parametrize("seed", range(6))
async def test_random_policies_are_as_the_oracle_says(server, look, seed):
    """Up to three policies of any command, permissive or not, of any of the expressions."""
    address = rig.make_database(server, "chance")
    made = rig.build(address, rig.draw(random.Random(seed), 60), random.Random(seed))
    roles = ["th_app", "th_member", "th_owner"]
    finding = await look(server, "chance", roles=roles, evaluate=True)
    wrong = compare(server, "chance", finding, made, roles)
    assert not wrong, wrong


def compare(server, database, finding, made, roles) -> list[str]:
    """Where the audit and the oracle differ."""
    down = [fault.subject for fault in finding.faults if fault.status is Status.DOWN]
    said = {(subject["object"], subject.get("role", "")) for subject in down}
    wrong = []
    for role in roles:
        open_ones = rig.find_leaks(server, database, role, made)
        wrong += [
            f"{each.name} {role}: said {(each.name, role) in said} {each.pattern.policies}"
            for each in made
            if ((each.name, role) in said) != (each.name in open_ones)
        ]
    return wrong


@pytest.fixture
def sound(server):
    """A sound schema in a database of its own; statements make holes in it."""
    address = rig.make_database(server, "sound")
    with psycopg.connect(address, autocommit=True) as db:
        db.execute(
            f"""create schema s; grant usage on schema s to th_app;
            create table s.tenants(id uuid primary key);
            create table s.t(id bigint primary key, tenant_id uuid not null references s.tenants);
            create index on s.t (tenant_id);
            alter table s.t enable row level security; alter table s.t force row level security;
            create policy p on s.t using ({GOOD});
            create view s.mine with (security_invoker) as select * from s.t;
            create function s.at() returns bigint language sql security definer
              set search_path = pg_catalog as 'select 1';
            grant select, insert, update, delete on s.t, s.mine to th_app;
            alter function s.at() owner to th_plain"""
        )
        yield db


@EACH_SERVER
async def test_a_sound_schema_gives_nothing(server, look, sound):
    """Nor does an invoker's view, or a function that runs as somebody without rights."""
    finding = await look(server, "sound", roles=["th_app"], evaluate=True)
    assert finding.status is Status.UP, finding.detail
    assert not keys(finding, "critical", "warning")
    assert "1 tables, 1 roles, no way past the policies" in finding.detail


REACHES = {
    "child": ("create table s.child(id int primary key, t bigint references s.t);"
              " grant select on s.child to th_app", "child_without_tenant s.child th_app"),
    "unnamed": ("create table s.other(id int primary key, owner uuid references s.tenants);"
                " grant select on s.other to th_app", "tenant_column_unnamed s.other th_app"),
    "create": ("grant create on schema s to th_app", "schema_create s th_app"),
    "preset": ("alter role th_app in database sound set app.tenant_id = 'x'",
               "tenant_setting_preset th_app"),
    "preset of all": ("alter database sound set app.tenant_id = 'x'", "tenant_setting_preset sound"),
    "leakproof": ("create function s.loud(uuid) returns bool language sql leakproof as 'select true'",
                  "leakproof_function s.loud(uuid)"),
    "trusts": ("create table s.members(who text, tenant_id2 uuid); grant select, insert on s.members"
               " to th_app; drop policy p on s.t; create policy p on s.t using (tenant_id in (select"
               " tenant_id2 from s.members where who = current_user))",
               "policy_trusts_unprotected s.t th_app"),
    "switch": ("drop policy p on s.t; create policy p on s.t using (case when"
               f" current_setting('app.admin', true) = '1' then true else {GOOD} end)",
               "policy_trusts_setting s.t th_app"),
    "definer of owner": ("grant create on schema s to th_owner; alter table s.t owner to th_owner;"
                         " alter table s.t no force row level security;"
                         " revoke create on schema s from th_owner;"
                         " create function s.all() returns setof s.t language sql security definer as"
                         " 'select * from s.t'; alter function s.all() owner to th_owner",
                         "security_definer_executable s.\"all\"() th_app"),
    "not forced": ("alter table s.t no force row level security", "rls_not_forced s.t"),
    "wide update": (f"create policy w on s.t for update using ({GOOD}) with check (true)",
                    "policy_check_true s.t th_app"),
}  # fmt: skip


@pytest.mark.parametrize("reach", REACHES)
async def test_each_way_around_is_found(look, reach, request):
    """One statement after the other makes one hole in the sound schema, and nothing else."""
    server = request.getfixturevalue("postgres")
    with closing(_open(server)) as db:
        sql, key = REACHES[reach]
        db.execute(sql)
        finding = await look(server, "sound", roles=["th_app"])
        assert key in keys(finding)
        assert finding.status in {Status.DOWN, Status.DEGRADED}


def _open(server) -> psycopg.Connection:
    db = psycopg.connect(rig.make_database(server, "sound"), autocommit=True)
    db.execute(
        f"""create schema s; grant usage on schema s to th_app;
        create table s.tenants(id uuid primary key);
        create table s.t(id bigint primary key, tenant_id uuid not null references s.tenants);
        create index on s.t (tenant_id);
        alter table s.t enable row level security; alter table s.t force row level security;
        create policy p on s.t using ({GOOD});
        grant select, insert, update, delete on s.t to th_app"""
    )
    return db


async def test_sessions_as_superuser_are_the_verdict(server, look, sound):
    """Platform B: the application connects as superuser; nobody had to name it."""
    sound.execute("alter table s.t no force row level security")
    with psycopg.connect(server.dsn("sound", "th_super")):
        finding = await look(server, "sound")
    assert finding.status is Status.DOWN
    assert finding.detail.startswith("not isolated: sessions run as superuser th_super (1 session)")
    assert finding.faults[0].key == "superuser"
    assert TrialRecord.read(finding.notes[0].detail).count("leak") == 1


@pytest.mark.parametrize(
    ("role", "key"),
    [
        ("th_boss", "role_bypasses_rls th_boss th_boss"),
        ("th_super", "role_superuser th_super th_super"),
    ],
)
async def test_roles_beyond_all_policies(server, look, sound, role, key):
    """Named, without a session."""
    finding = await look(server, "sound", roles=[role])
    assert keys(finding, "critical") == {key}


async def test_a_role_without_rights_proves_nothing(server, look, sound):
    """All is well for it, because it can't read anything."""
    finding = await look(server, "sound", roles=["th_plain"])
    assert finding.status is Status.UNKNOWN
    assert "th_plain has no right on any table" in finding.detail


async def test_nothing_to_judge_is_blind(server, look, sound):
    """No session and no name; no table with the column."""
    with pytest.raises(NotMeasurable, match="no role of the application"):
        await look(server, "sound")
    with pytest.raises(NotMeasurable, match="no table has a column"):
        await look(server, "sound", roles=["th_app"], columns=["org_id"])


async def test_a_role_is_judged_after_its_session(server, look, sound):
    """A pool may be empty at the moment of a look."""
    state, options = TenantAuditState(), {}
    with psycopg.connect(server.dsn("sound", "th_app")):
        assert (await look(server, "sound", state=state, **options)).evidence["roles"] == ["th_app"]
    later = TenantAuditState(state.dump())
    assert (await look(server, "sound", state=later, **options)).evidence["roles"] == ["th_app"]


async def test_what_can_not_be_run_is_unknown_with_its_grant(server, look, sound):
    """A policy that calls a function of a schema that sentinel may not use."""
    sound.execute(
        "drop policy p on s.t; create function s.t_id() returns uuid language sql stable as"
        " $$select nullif(current_setting('app.tenant_id', true), '')::uuid$$;"
        " create policy p on s.t using (tenant_id = s.t_id())"
    )
    finding = await look(server, "sound", roles=["th_app"], evaluate=True)
    assert finding.status is Status.UNKNOWN
    (fault,) = finding.faults
    assert fault.subject == {"table": "s.t", "policy": "p"}
    for statement in fault.cure:
        sound.execute(statement)
    assert (await look(server, "sound", roles=["th_app"], evaluate=True)).status is Status.UP


async def test_an_accepted_finding_counts_again_after_its_end(server, look, sound):
    """By rule, object and role, with a reason; the key is the same at each look."""
    sound.execute("alter table s.t disable row level security")
    first, second = [await look(server, "sound", roles=["th_app"]) for _ in range(2)]
    assert [f.identity for f in first.faults] == [f.identity for f in second.faults]
    now = datetime(2026, 3, 1, tzinfo=UTC)
    word = Acceptance("hole", {"rule": "rls_disabled", "object": "s.t"}, "known", now)
    before = step([], first.faults, "c", "x", [word], now - timedelta(days=1))
    after = step(before.present, second.faults, "c", "x", [word], now)
    key = ("hole", {"rule": "rls_disabled", "object": "s.t", "role": "th_app"})
    for found, expected in ((before, word), (after, None)):
        accepted = {(f.fault.key, *f.fault.subject.values()): f.accepted for f in found.present}
        assert accepted[(key[0], *key[1].values())] == expected


async def test_no_row_and_no_value_is_told(server, look, sound):
    """Neither rows nor what a preset says."""
    sound.execute("insert into s.tenants values ('aaaaaaaa-0000-4000-8000-000000000001')")
    sound.execute("insert into s.t values (1, 'aaaaaaaa-0000-4000-8000-000000000001')")
    sound.execute("alter role th_app in database sound set app.tenant_id = 'hush-hush'")
    sound.execute("create policy q on s.t using (true)")
    finding = await look(server, "sound", roles=["th_app"], evaluate=True)
    assert "aaaaaaaa-0000-4000-8000" not in repr(finding)
    assert "hush-hush" not in repr(finding)
