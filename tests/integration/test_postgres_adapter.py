"""The PostgreSQL adapter against a real server that is killed, frozen, full, locked, or something
else.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time

import psycopg
import pytest
from aiohttp import web

from sentinel.adapters.network.resolver import Resolver
from sentinel.adapters.postgres import PostgresClient
from sentinel.demo.servers import PostgresServer, ValkeyServer, free_port
from sentinel.errors import (
    NotMeasurable,
    SubjectError,
    TargetStarting,
    TargetUnreachable,
    WrongTarget,
)


@pytest.fixture
def admin(postgres: PostgresServer):
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        yield connection


def ours(admin, extra: str = "") -> int:
    """Sessions of sentinel on the server."""
    row = admin.execute(
        "select count(*) from pg_stat_activity where application_name = 'sentinel'" + extra
    ).fetchone()
    return row[0]


async def test_rows_are_dicts_and_instants_are_aware(postgres):
    """A query gives dicts, and instants carry their zone."""
    client = PostgresClient("db", postgres.dsn())
    rows = await client.query("select 1 as one, now() as at")
    await client.close()
    assert rows[0]["one"] == 1
    assert rows[0]["at"].utcoffset().total_seconds() == 0


PLANS = "select statement from pg_prepared_statements where not from_sql order by 1"


async def test_the_server_keeps_plans_of_what_has_no_parameters(postgres):
    """Once for the connection; a plan for all parameters may be the wrong one."""
    client = PostgresClient("db", postgres.dsn())
    for n in range(3):
        await client.query("select 7 as n")
        await client.query("select %s::int as n", [n])
    kept = [row["statement"] for row in await client.query(PLANS)]
    assert sorted(kept) == sorted(["select 7 as n", PLANS])
    await client.close()


@pytest.mark.parametrize(
    "spoil",
    ["do $$ begin execute 'deallocate all'; end $$", "alter table planned alter n type text"],
)
async def test_a_plan_that_is_gone_costs_no_verdict(postgres, admin, spoil):
    """A pooler gave us another session, or the table was changed: it is asked plainly."""
    admin.execute("drop table if exists planned")
    admin.execute("create table planned (n int)")
    admin.execute("insert into planned values (7)")
    client = PostgresClient("db", postgres.dsn())
    assert await client.query("select * from public.planned") == [{"n": 7}]
    await (
        client.query(spoil) if spoil.startswith("do") else asyncio.to_thread(admin.execute, spoil)
    )
    for _ in range(2):
        (row,) = await client.query("select * from public.planned")
        assert int(row["n"]) == 7
    with pytest.raises(SubjectError):
        await client.query("select nothing from public.planned")
    await client.close()
    admin.execute("drop table planned")


async def test_writing_is_refused(postgres, admin):
    """The session is read-only, also outside a snapshot."""
    admin.execute("create table if not exists public.mine (id int)")
    client = PostgresClient("db", postgres.dsn())
    with pytest.raises(Exception, match="read-only transaction"):
        await client.query("insert into public.mine values (1)")
    await client.close()


async def test_snapshot_sees_one_instant_and_is_rolled_back(postgres, admin):
    """What others commit meanwhile stays invisible, and the session is idle afterwards."""
    admin.execute("create table if not exists public.seen (id int)")
    admin.execute("truncate public.seen")
    client = PostgresClient("db", postgres.dsn())
    async with client.snapshot() as query:
        before = (await query("select count(*) as n from public.seen"))[0]["n"]
        admin.execute("insert into public.seen values (1)")
        after = (await query("select count(*) as n from public.seen"))[0]["n"]
    assert (before, after) == (0, 0)
    assert (await client.query("select count(*) as n from public.seen"))[0]["n"] == 1
    assert ours(admin, " and state like 'idle in transaction%'") == 0
    await client.close()


async def test_a_failed_query_in_a_snapshot_keeps_the_connection(postgres):
    """A missing table is that subject's error; the same connection serves the next query."""
    client = PostgresClient("db", postgres.dsn())
    pid = (await client.query("select pg_backend_pid() as pid"))[0]["pid"]
    with pytest.raises(SubjectError, match="no such table"):
        async with client.snapshot() as query:
            await query("select * from public.nowhere")
    assert (await client.query("select pg_backend_pid() as pid"))[0]["pid"] == pid
    await client.close()


async def test_missing_column_names_it(postgres):
    """A column that is not there is a SubjectError with the server's word for it."""
    client = PostgresClient("db", postgres.dsn())
    with pytest.raises(SubjectError, match="nonsense") as caught:
        await client.query("select nonsense from pg_catalog.pg_class")
    assert caught.value.code == "42703"
    await client.close()


async def test_role_can_be_taken_in_a_snapshot_only(postgres, admin):
    """SET LOCAL ROLE holds inside the snapshot and is gone after it."""
    admin.execute(
        "do $$ begin create role app_reader; exception when duplicate_object then null; end $$"
    )
    client = PostgresClient("db", postgres.dsn())
    async with client.snapshot() as query:
        await query("set local role app_reader")
        assert (await query("select current_user::text as who"))[0]["who"] == "app_reader"
    assert (await client.query("select current_user::text as who"))[0]["who"] == "postgres"
    await client.close()


async def test_statement_timeout_is_our_own_limit(postgres):
    """A query over the limit is unknown, never down, and the connection is kept."""
    client = PostgresClient("db", postgres.dsn(), statement_timeout=0.1)
    pid = (await client.query("select pg_backend_pid() as pid"))[0]["pid"]
    with pytest.raises(NotMeasurable, match="stopped at our own limit"):
        await client.query("select pg_sleep(5)")
    assert (await client.query("select pg_backend_pid() as pid"))[0]["pid"] == pid
    await client.close()


async def test_lock_timeout_is_our_own_limit(postgres, admin):
    """A table that somebody locks is unknown: the query does not queue for ever."""
    admin.execute("create table if not exists public.locked (id int)")
    client = PostgresClient("db", postgres.dsn(), lock_timeout=0.05)
    with psycopg.connect(postgres.dsn()) as other:
        other.execute("lock table public.locked in access exclusive mode")
        with pytest.raises(NotMeasurable) as caught:
            await client.query("select * from public.locked")
    assert caught.value.code == "55P03"
    await client.close()


async def test_terminated_backend_costs_one_call(postgres, admin):
    """After pg_terminate_backend one call fails, the next works."""
    client = PostgresClient("db", postgres.dsn())
    pid = (await client.query("select pg_backend_pid() as pid"))[0]["pid"]
    admin.execute("select pg_terminate_backend(%s, 5000)", (pid,))
    with pytest.raises(TargetUnreachable):
        await client.query("select 1")
    assert await client.query("select 1 as one") == [{"one": 1}]
    await client.close()


async def test_cancelled_calls_leave_no_session_in_a_transaction(postgres, admin):
    """However a call is cancelled, none of our sessions stays idle in transaction or active (B13)."""
    client = PostgresClient("db", postgres.dsn(), statement_timeout=0.3)

    async def read() -> None:
        async with client.snapshot() as query:
            await query("select 1")
            await query("select pg_sleep(0.02)")
            await asyncio.sleep(0.02)

    for n in range(30):
        task = asyncio.create_task(read())
        await asyncio.sleep(n * 0.002)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await client.query("select 1 as one") == [{"one": 1}]
    await until(lambda: ours(admin, " and state <> 'idle'") == 0)
    assert ours(admin) == 1
    await client.close()
    await until(lambda: ours(admin) == 0)


async def test_cancelled_between_two_queries_ends_the_transaction(postgres, admin):
    """A snapshot cancelled while its owner does something else is not left open until the next call
    (B13).
    """
    client = PostgresClient("db", postgres.dsn())

    async def dawdle() -> None:
        async with client.snapshot() as query:
            await query("select 1")
            await asyncio.sleep(30)

    task = asyncio.create_task(dawdle())
    await until(lambda: ours(admin, " and state = 'idle in transaction'") == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until(lambda: ours(admin, " and state = 'idle in transaction'") == 0)
    await client.close()


async def test_cancelling_raises_cancelled_even_when_the_server_is_frozen(own_postgres):
    """A cancelled call ends as cancelled at once; it does not wait for a server that can't answer."""
    client = PostgresClient("db", own_postgres.dsn())
    pid = (await client.query("select pg_backend_pid() as pid"))[0]["pid"]
    signal_to(pid, signal.SIGSTOP)
    try:
        task = asyncio.create_task(client.query("select 1"))
        await asyncio.sleep(0.05)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=0.9)
        assert done
        assert task.cancelled()
    finally:
        signal_to(pid, signal.SIGCONT)
    await client.close()


async def test_one_frozen_backend_is_noticed_and_dropped(own_postgres):
    """A stopped backend is unreachable after the deadline; a new connection then works (B5)."""
    client = PostgresClient("db", own_postgres.dsn(), statement_timeout=0.1, grace=0.1)
    pid = (await client.query("select pg_backend_pid() as pid"))[0]["pid"]
    signal_to(pid, signal.SIGSTOP)
    with pytest.raises(TargetUnreachable, match="no answer in time"):
        await client.query("select 1")
    other = (await client.query("select pg_backend_pid() as pid"))[0]["pid"]
    signal_to(pid, signal.SIGCONT)
    assert other != pid
    await client.close()


async def test_frozen_server_is_unreachable(own_postgres):
    """A stopped postmaster accepts in the kernel only: unreachable, no other server suspected (B6)."""
    own_postgres.process.send_signal(signal.SIGSTOP)
    client = PostgresClient("db", own_postgres.dsn(), connect_timeout=0.2)
    with pytest.raises(TargetUnreachable, match="no answer in time"):
        await client.query("select 1")
    own_postgres.process.send_signal(signal.SIGCONT)


async def test_killed_server_is_unreachable_and_comes_back(own_postgres):
    """SIGKILL: one call notices the dead connection, the next ones are refused, then it works
    again.
    """
    now = [0.0]
    client = PostgresClient("db", own_postgres.dsn(), monotonic=lambda: now[0])
    await client.query("select 1")
    own_postgres.stop(signal.SIGKILL)
    await asyncio.to_thread(wait_gone, own_postgres.port)
    for _ in range(2):
        with pytest.raises(TargetUnreachable):
            await client.query("select 1")
    with pytest.raises(TargetUnreachable, match="next try in"):
        await client.query("select 1")
    (own_postgres.folder / "data" / "postmaster.pid").unlink()
    own_postgres.start()
    now[0] += 1
    assert await client.query("select 1 as one") == [{"one": 1}]
    await client.close()


async def test_wrong_password_is_tried_once_in_thirty_seconds(own_postgres):
    """Refused credentials are ours, are not repeated for 30 s, and never show the password (B14)."""
    use_passwords(own_postgres)
    now = [0.0]
    client = PostgresClient(
        "db", own_postgres.dsn(user="scram"), password="wr0ng-secret", monotonic=lambda: now[0]
    )
    for instant in (0.0, 10.0, 29.9):
        now[0] = instant
        with pytest.raises(NotMeasurable, match="credentials refused") as caught:
            await client.query("select 1")
        assert "wr0ng-secret" not in str(caught.value)
    assert refusals(own_postgres) == 1
    now[0] = 30.1
    with pytest.raises(NotMeasurable):
        await client.query("select 1")
    assert refusals(own_postgres) == 2


async def test_right_password_is_admitted(own_postgres):
    """The positive control of the test above."""
    use_passwords(own_postgres)
    client = PostgresClient("db", own_postgres.dsn(user="scram"), password="right")
    assert await client.query("select current_user::text as who") == [{"who": "scram"}]
    await client.close()


async def test_connection_limit_is_ours(postgres, admin):
    """A role without free connections is unknown, never down (B2)."""
    admin.execute("create role limited login connection limit 0")
    client = PostgresClient("db", postgres.dsn(user="limited"))
    with pytest.raises(NotMeasurable, match="no connection left"):
        await client.query("select 1")


async def test_full_server_still_serves_the_held_connection(own_postgres):
    """B1: who is connected stays connected; a newcomer is told that no connection is left."""
    held = PostgresClient("db", own_postgres.dsn())
    await held.query("select 1")
    others = []
    try:
        while True:
            others.append(psycopg.connect(own_postgres.dsn()))
    except psycopg.OperationalError:
        pass
    with pytest.raises(NotMeasurable, match="no connection left"):
        await PostgresClient("db", own_postgres.dsn()).query("select 1")
    assert await held.query("select 1 as one") == [{"one": 1}]
    for other in others:
        other.close()
    await held.close()


async def test_unknown_database_is_named(postgres):
    """A database that is not there is a wrong address, not an outage."""
    with pytest.raises(NotMeasurable, match="no such database"):
        await PostgresClient("db", postgres.dsn("nowhere")).query("select 1")


async def test_redis_behind_the_address_is_the_wrong_target(valkey: ValkeyServer):
    """Redis never answers libpq's first packet; sentinel asks who it is."""
    client = PostgresClient("db", f"postgresql://u@127.0.0.1:{valkey.port}/x", connect_timeout=0.2)
    with pytest.raises(WrongTarget, match="a Redis server"):
        await client.query("select 1")


async def test_http_behind_the_address_is_the_wrong_target():
    """An HTTP server waits for the end of a line too."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port := free_port())
    await site.start()
    client = PostgresClient("db", f"postgresql://u@127.0.0.1:{port}/x", connect_timeout=0.2)
    with pytest.raises(WrongTarget):
        await client.query("select 1")
    await runner.cleanup()


async def test_server_that_speaks_first_is_the_wrong_target():
    """Another protocol's greeting is no answer to libpq's request."""

    async def greet(_reader, writer):
        writer.write(b"220 mail ready\r\n")
        await asyncio.sleep(1)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(WrongTarget):
        await PostgresClient("db", f"postgresql://u@127.0.0.1:{port}/x").query("select 1")
    server.close()


async def test_recovering_server_is_starting(own_postgres):
    """57P03 at connect is a start, so nothing is restarted (B3)."""
    arguments = own_postgres.process.args
    own_postgres.stop()
    (own_postgres.folder / "data" / "standby.signal").touch(mode=0o644)
    log = (own_postgres.folder / "standby.log").open("wb")
    settings = ["-c", "hot_standby=off", "-c", "restore_command=false"]
    own_postgres.process = subprocess.Popen(
        [*arguments, *settings],
        stderr=log,
        stdout=log,
        user=(own_postgres.folder / "data").stat().st_uid,
        cwd=own_postgres.folder / "data",
    )
    await asyncio.to_thread(wait_open, own_postgres.port)
    with pytest.raises(TargetStarting) as caught:
        await PostgresClient("db", own_postgres.dsn()).query("select 1")
    assert caught.value.code == "57P03"
    log.close()


async def test_busy_own_connection_blames_nobody(postgres):
    """Who waits too long for our one connection gets unknown (B7)."""
    client = PostgresClient(
        "db", postgres.dsn(), connect_timeout=0.3, statement_timeout=0.1, grace=0.1
    )
    async with client.snapshot():
        with pytest.raises(NotMeasurable, match="own connection is busy"):
            await client.query("select 1")
    await client.close()


async def test_hung_name_is_our_side(postgres):
    """A name that does not resolve in time is unknown."""
    resolver = Resolver(lookup=lambda *_a, **_k: time.sleep(0.3) or [], deadline=0.05)
    client = PostgresClient(
        "db", f"postgresql://u@slow.example:{postgres.port}/x", resolver=resolver
    )
    with pytest.raises(NotMeasurable, match="name resolution"):
        await client.query("select 1")


async def test_name_is_resolved_by_our_resolver(postgres):
    """The address that our resolver gives is the one that is used."""

    def lookup(*_arguments, **_keywords):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    dsn = f"postgresql://postgres@database.example:{postgres.port}/postgres"
    client = PostgresClient("db", dsn, resolver=Resolver(lookup=lookup))
    assert await client.query("select 1 as one") == [{"one": 1}]
    await client.close()


async def until(condition, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.02)


def signal_to(pid: int, number: int) -> None:
    os.kill(pid, number)


def wait_gone(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        except OSError:
            return
        time.sleep(0.02)


def wait_open(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        except OSError:
            time.sleep(0.02)
        else:
            return


def use_passwords(server: PostgresServer) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("create role scram login password 'right'")
        (server.folder / "data" / "pg_hba.conf").write_text(
            "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        connection.execute("select pg_reload_conf()")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            psycopg.connect(server.dsn(user="scram")).close()
        except psycopg.OperationalError:
            break
        time.sleep(0.02)
    (server.folder / "server.log").write_text("")


def refusals(server: PostgresServer) -> int:
    return (server.folder / "server.log").read_text().count("password authentication failed")
