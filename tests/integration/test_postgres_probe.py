"""Kind `postgres` against a real server with known faults in it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.postgres import queries as postgres_queries
from sentinel.core.fault import Fault, Status
from sentinel.demo.servers import PostgresServer
from sentinel.errors import NotMeasurable
from sentinel.probes.postgres import KIND, PostgresOptions, PostgresState


@pytest.fixture
def admin(postgres: PostgresServer):
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        yield connection


@pytest.fixture
def database(postgres: PostgresServer, admin):
    """A database of this test's own."""
    name = "health"
    admin.execute(f"drop database if exists {name} with (force)")
    admin.execute(f"create database {name}")
    yield name
    admin.execute(f"drop database if exists {name} with (force)")


@pytest.fixture
def monitor(admin) -> str:
    """A login role that is a member of pg_monitor and nothing else."""
    create_role(admin, "watcher")
    admin.execute("grant pg_monitor to watcher")
    return "watcher"


def create_role(admin, name: str) -> None:
    admin.execute(
        f"do $$ begin create role {name} login; exception when duplicate_object then null; end $$"
    )


@pytest.fixture
async def look(postgres, database, monitor, make_context):
    """Runs the kind once as the monitor role; `state` and options may be given."""
    clients = []

    async def once(state=None, user: str = monitor, utcnow=None, **options):
        client = PostgresClient("main", postgres.dsn(database, user))
        clients.append(client)
        extra = {"utcnow": utcnow} if utcnow else {}
        context = make_context({"resource": client}, state=state or PostgresState(), **extra)
        return await KIND.run(PostgresOptions.model_validate(options), context)

    yield once
    for client in clients:
        await client.close()


def values(finding) -> dict[str, float]:
    """Measurements of the server itself."""
    found: dict[str, float] = {}
    for row in finding.rows:
        if set(row.labels) == {"server"}:
            found.update(row.values)
    return found


def found(finding) -> dict[str, Fault]:
    """Faults by key, each of which the kind declares."""
    assert {fault.key for fault in finding.faults} <= KIND.fault_kinds.keys()
    return {fault.key: fault for fault in finding.faults}


async def test_healthy_server_is_up_as_pg_monitor_only(look):
    """Every query runs for a role that is only in pg_monitor, and every declared measurement of a
    server comes.
    """
    finding = await look()
    assert finding.status is Status.UP, finding.detail
    declared = {m.name for m in KIND.measurements if m.labels == ("server",)}
    assert set(values(finding)) == declared
    assert finding.key is not None
    assert finding.key[0] == "connections"


async def test_rows_carry_exactly_the_declared_labels(look):
    """Each row has all labels of each measurement that it carries."""
    finding = await look()
    labels = {m.name: set(m.labels) for m in KIND.measurements}
    assert all(set(row.labels) == labels[name] for row in finding.rows for name in row.values)


async def test_holders_of_the_horizon_exist_at_zero(look):
    """All four holders are there although nobody holds anything."""
    finding = await look()
    holders = {row.labels["holder"] for row in finding.rows if "holder" in row.labels}
    assert holders == {"backend", "slot", "prepared", "standby"}


async def test_without_pg_monitor_it_is_blind_and_says_the_remedy(look, admin):
    """What may not be seen is unknown, not absent; what can be seen is still reported."""
    create_role(admin, "plain")
    finding = await look(user="plain")
    assert finding.status is Status.UNKNOWN
    assert "blind" in finding.detail
    assert finding.guidance == 'GRANT pg_monitor TO "plain"'
    seen = values(finding)
    assert {"lock_waiters", "commits_total", "invalid_indexes", "archiver_failing"} <= set(seen)
    assert not {"connections_used", "longest_transaction_seconds"} & set(seen)
    assert not [row for row in finding.rows if "holder" in row.labels]


async def test_session_idle_in_transaction_is_found_with_its_pid(look, postgres, database):
    """A forgotten transaction is reported with the number of its process (B11)."""
    with psycopg.connect(postgres.dsn(database)) as other:
        pid = other.execute("select pg_backend_pid()").fetchone()[0]
        finding = await look(max_idle_in_transaction="1ms")
    assert finding.status is Status.DEGRADED
    assert f"process {pid}: idle in transaction" in finding.detail
    assert found(finding)["idle_in_transaction"].subject == {"process": str(pid)}


async def test_long_transaction_is_found(look, postgres, database):
    """The age of the oldest transaction is judged by its own level."""
    with psycopg.connect(postgres.dsn(database)) as other:
        pid = other.execute("select pg_backend_pid()").fetchone()[0]
        finding = await look(max_transaction_age="1ms")
    assert f"process {pid}: in one transaction" in finding.detail


async def test_every_forgotten_session_is_named(look, postgres, database):
    """Two of them are two faults, and the command ends the one that it is for."""
    with (
        psycopg.connect(postgres.dsn(database)) as one,
        psycopg.connect(postgres.dsn(database)) as two,
        psycopg.connect(postgres.dsn(database), autocommit=True) as person,
    ):
        pids = [each.execute("select pg_backend_pid()").fetchone()[0] for each in (one, two)]
        faults = (await look(max_idle_in_transaction="1ms")).faults
        assert [fault.subject for fault in faults] == [{"process": str(pid)} for pid in pids]
        person.execute(faults[0].cure[0])
        while person.execute("select 1 from pg_stat_activity where pid = %s", [pids[0]]).fetchone():
            pass
        faults = (await look(max_idle_in_transaction="1ms")).faults
        assert [fault.subject for fault in faults] == [{"process": str(pids[1])}]
        one.close()  # it can't be left in order: the server has ended it


async def test_lock_wait_names_who_blocks(look, postgres, database, admin):
    """A waiting lock request is counted, and the blocker named (B9)."""
    with (
        psycopg.connect(postgres.dsn(database), autocommit=True) as setup,
        psycopg.connect(postgres.dsn(database)) as holder,
        psycopg.connect(postgres.dsn(database)) as waiter,
    ):
        setup.execute("create table locked (id int)")
        holder.execute("lock table locked in access exclusive mode")
        waiter.pgconn.send_query(b"begin; lock table locked")
        pid = holder.info.backend_pid
        while not admin.execute("select 1 from pg_locks where not granted").fetchone():
            pass
        finding = await look(max_lock_wait="1ms")
        holder.rollback()
        waiter.pgconn.finish()
    assert values(finding)["lock_waiters"] == 1
    assert f"blocked by {pid}" in finding.detail
    (lock,) = finding.faults
    assert lock.cure == (f"SELECT pg_terminate_backend({pid});",)


async def test_connections_are_counted_exactly(look, postgres, database, admin):
    """used is every client session of the server, ours included."""
    others = [psycopg.connect(postgres.dsn(database)) for _ in range(5)]
    expected = admin.execute(
        "select count(*) + 1 from pg_stat_activity where backend_type = 'client backend'"
    ).fetchone()[0]
    finding = await look(max_connections_used="1%")
    for other in others:
        other.close()
    assert values(finding)["connections_used"] == expected
    assert values(finding)["connections_usable"] == 57
    assert "server main: " in finding.detail
    assert "connections used" in finding.detail


async def test_invalid_index_is_named(look, postgres, database):
    """An index that a failed CONCURRENTLY build left behind is found."""
    with psycopg.connect(postgres.dsn(database), autocommit=True) as setup:
        setup.execute("create table twice (id int)")
        setup.execute("insert into twice values (1), (1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            setup.execute("create unique index concurrently broken_index on twice (id)")
    finding = await look()
    assert values(finding)["invalid_indexes"] == 1
    (fault,) = finding.faults
    assert fault.subject == {"index": "public.broken_index"}
    with psycopg.connect(postgres.dsn(database), autocommit=True) as setup:
        setup.execute("delete from twice; insert into twice values (1)")
        setup.execute(fault.cure[0])
    assert (await look()).status is Status.UP


async def test_prepared_slot_and_archiver_figures(own_postgres, make_context):
    """A slot's retained WAL and a failing archiver are seen."""
    own_postgres.stop()
    server = PostgresServer(
        own_postgres.folder,
        port=own_postgres.port,
        settings=("archive_mode=on", "archive_command=false", "wal_level=replica"),
    )
    server.start()
    try:
        with psycopg.connect(server.dsn(), autocommit=True) as setup:
            setup.execute("select pg_create_physical_replication_slot('kept', true)")
            setup.execute("create table filler as select generate_series(1, 20000)")
            setup.execute("select pg_switch_wal()")
            while not setup.execute(
                "select 1 from pg_stat_archiver where failed_count > 0"
            ).fetchone():
                pass
        client = PostgresClient("main", server.dsn())
        context = make_context({"resource": client}, state=PostgresState())
        options = PostgresOptions.model_validate(
            {"max_slot_retained": "1kB", "max_archiver_failing": "1ms"}
        )
        finding = await KIND.run(options, context)
        await client.close()
    finally:
        server.stop(signal.SIGQUIT)
    assert "archiving fails" in finding.detail
    assert found(finding)["slot_retains"].subject == {"slot": "kept"}
    assert (
        next(r for r in finding.rows if r.labels.get("slot") == "kept").values[
            "slot_retained_bytes"
        ]
        > 1000
    )


@pytest.fixture
def standby_of(server_folder):
    """Starts a standby of a stopped primary from a copy of its folder."""
    started = []

    def start(primary):
        folder = Path(tempfile.mkdtemp(dir=server_folder)) / "standby"
        shutil.copytree(primary.folder, folder)
        folder.parent.chmod(0o755)
        owner = (primary.folder / "data").stat()
        (folder / "data" / "standby.signal").touch()
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, owner.st_uid, owner.st_gid)
        primary.start()
        info = f"primary_conninfo=host=127.0.0.1 port={primary.port} user=postgres application_name=west"
        started.append(PostgresServer(folder, settings=(info,)))
        started[0].start()
        return started[0]

    yield start
    for server in started:
        server.stop(signal.SIGQUIT)


def family(pid):
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


async def test_a_standby_that_fell_silent_is_behind(own_postgres, standby_of, make_context):
    """replay_lag stays at its last value while the standby is frozen: that is not the lag."""
    own_postgres.stop()
    standby = standby_of(own_postgres)
    client = PostgresClient("main", own_postgres.dsn())
    context = make_context({"resource": client}, state=PostgresState())

    async def lag():
        rows = (await KIND.run(PostgresOptions(), context)).rows
        return [
            row.values["replication_lag_seconds"]
            for row in rows
            if row.labels.get("standby") == "west"
        ]

    with psycopg.connect(own_postgres.dsn(), autocommit=True) as setup:
        while not setup.execute(
            "select 1 from pg_stat_replication where state = 'streaming'"
        ).fetchone():
            await asyncio.sleep(0.05)
        frozen = family(standby.process.pid)
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            setup.execute("create table unseen as select generate_series(1, 1000)")
            await asyncio.sleep(1.5)
            assert (await lag())[0] >= 1.4
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        while (await lag())[0] > 1:
            await asyncio.sleep(0.05)
    await client.close()


async def test_counters_count_since_the_first_look(look, admin, postgres, database):
    """The first look is the baseline; deadlocks and rollbacks made after it are counted exactly."""
    while admin.execute(
        "select 1 from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
    ).fetchone():
        pass
    state = PostgresState()
    first = await look(state)
    assert values(first)["rollbacks_total"] == 0
    with psycopg.connect(postgres.dsn(database)) as other:
        for _ in range(7):
            other.execute("select 1")
            other.rollback()
        other.execute("select pg_stat_force_next_flush()")
        other.rollback()
    admin.execute("select pg_stat_force_next_flush()")
    second = await look(PostgresState(state.dump()))
    assert values(second)["rollbacks_total"] == 8


async def test_counters_never_go_back_when_statistics_are_reset(look, postgres, database):
    """pg_stat_reset() in the middle is no negative step."""
    state = PostgresState()
    await look(state)
    with psycopg.connect(postgres.dsn(database), autocommit=True) as other:
        for _ in range(50):
            other.execute("select 1")
        other.execute("select pg_stat_force_next_flush()")
    before = values(await look(state))["commits_total"]
    with psycopg.connect(postgres.dsn(database), autocommit=True) as other:
        other.execute("select pg_stat_reset()")
    assert values(await look(state))["commits_total"] >= before


async def test_another_cluster_behind_the_address_is_shown_for_an_hour(look):
    """A changed system identifier is degraded while it is fresh, then accepted."""
    state = PostgresState({"system": "42", "timeline": 1, "last": {"1": {}}})
    now = datetime(2026, 1, 1, tzinfo=UTC)
    finding = await look(state, utcnow=lambda: now)
    assert finding.status is Status.DEGRADED
    assert "another cluster answers" in finding.detail
    restored = PostgresState(state.dump())
    assert (
        await look(restored, utcnow=lambda: now + timedelta(minutes=59))
    ).status is Status.DEGRADED
    assert (await look(restored, utcnow=lambda: now + timedelta(minutes=61))).status is Status.UP


async def test_timeline_change_is_a_failover(look, admin):
    """The same cluster on a new timeline is told apart from another cluster."""
    system = admin.execute("select system_identifier::text from pg_control_system()").fetchone()[0]
    finding = await look(PostgresState({"system": system, "timeline": 7}))
    assert "timeline 7 → 1" in finding.detail


async def test_a_failing_query_takes_only_its_own_figures(look, monkeypatch):
    """One broken query is unknown and named; the other figures come."""
    broken = tuple(
        postgres_queries.HealthQuery(q.name, {14: "select nonsense"}) if q.name == "locks" else q
        for q in postgres_queries.HEALTH
    )
    monkeypatch.setattr("sentinel.probes.postgres.HEALTH", broken)
    finding = await look()
    assert finding.status is Status.UNKNOWN
    assert "query locks: no such column" in finding.detail
    assert finding.faults[0].subject == {"query": "locks"}
    assert "connections_used" in values(finding)
    assert "lock_waiters" not in values(finding)


async def test_dead_server_is_down_with_up_zero(make_context):
    """Nobody at the address: down, and sentinel_pg_up is 0, not missing."""
    client = PostgresClient("main", "postgresql://u@127.0.0.1:1/x")
    finding = await KIND.run(
        PostgresOptions(), make_context({"resource": client}, state=PostgresState())
    )
    assert finding.status is Status.DOWN
    assert [dict(row.values) for row in finding.rows] == [{"up": 0.0}]
    assert found(finding)["unreachable"].parameters == {"resource": "main"}


async def test_refused_credentials_are_not_down(look, admin):
    """Our own wrong address or rights raise unknown."""
    with pytest.raises(NotMeasurable):
        await look(user="nobody_at_all")


@pytest.mark.parametrize("version", [14, 15, 16, 17, 18])
def test_every_version_has_one_text_per_query(version):
    """The text of the newest variant that is not newer than the server; collations begin with 15."""
    names = {query.name for query in postgres_queries.HEALTH if query.text(version)}
    missing = {query.name for query in postgres_queries.HEALTH} - names
    assert missing == ({"collations"} if version == 14 else set())


async def test_sequences_and_the_log_are_followed(look, postgres: PostgresServer, database):
    """How much of a sequence is used, one that may go round is none that ends; and how far the
    write-ahead log is, which goes on with every commit.
    """
    with psycopg.connect(postgres.dsn(database), autocommit=True) as connection:
        connection.execute("create sequence nearly maxvalue 1000")
        connection.execute("create sequence down increment -1 minvalue -100")
        connection.execute("create sequence round maxvalue 10 cycle")
        connection.execute("grant select on all sequences in schema public to pg_monitor")
        connection.execute("select setval('nearly', 900), setval('down', -50), setval('round', 9)")
        before = values(await look())
        connection.execute("create table moved as select 1 as one")
        finding = await look()
    used = {
        row.labels["sequence"]: row.values["sequence_used_ratio"]
        for row in finding.rows
        if "sequence" in row.labels
    }
    assert used == {"public.nearly": 0.9, "public.down": 0.5}
    after = values(finding)
    assert after["timeline"] == before["timeline"] == 1
    assert after["wal_position_bytes"] > before["wal_position_bytes"] > 0
