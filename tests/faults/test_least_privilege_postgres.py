"""The shipped database role (checks/acl/postgres.sql): enough for the health check, for nothing
that changes data.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

import psycopg
import pytest

from sentinel.adapters.postgres import PostgresClient
from sentinel.config import shipped_folder
from sentinel.core.fault import Status
from sentinel.core.model import Check
from sentinel.engine.runner import Runner
from sentinel.metrics import Metrics
from sentinel.probes import postgres as kind
from tests.bus_bench import Awake

SQL = shipped_folder("checks") / "acl" / "postgres.sql"
FORBIDDEN = [
    "insert into public.tasks values (2, 'x')",
    "update public.tasks set payload = 'x'",
    "delete from public.tasks",
    "select payload from public.tasks",
    "create table sentinel.mine (x int)",
    "create table public.mine (x int)",
    "create role other",
    "alter role sentinel superuser",
    "alter system set fsync = off",
    "copy (select 1) to program 'true'",
    "select pg_read_file('/etc/hostname')",
]


@pytest.fixture
def database(postgres):
    """A database with a business table, a narrow view and the shipped role; run twice, as people
    do.
    """
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("create database least_privilege")
    with psycopg.connect(postgres.dsn("least_privilege"), autocommit=True) as admin:
        admin.execute("create table public.tasks (id int, payload text)")
        admin.execute("insert into public.tasks values (1, 'personal')")
        for _ in range(2):
            admin.execute(SQL.read_text())
        admin.execute("create view sentinel.tasks as select id from public.tasks")
    yield postgres.dsn("least_privilege", "sentinel")
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("drop database least_privilege with (force)")
        admin.execute("drop role sentinel")


async def test_the_role_sees_all_that_the_health_check_needs(database):
    """The kind `postgres` with the shipped role: up, nothing hidden, nothing missing."""
    client = PostgresClient("database", database)
    runner = Runner(
        {"database": client},
        Awake(),
        Metrics(),
        lambda: datetime.now(UTC),
        time.monotonic,
        lambda _: None,
    )
    options = kind.KIND.options.model_validate({})
    check = Check("database", "postgres", "database", 10.0, 20.0, options, {"resource": "database"})
    runner.states["database"] = kind.KIND.load_state(None) if kind.KIND.load_state else None
    finding = (await runner.run(check, kind.KIND)).finding
    await client.close()
    assert finding.status is Status.UP, finding
    assert "permission" not in repr(finding)


def test_the_role_reads_its_views_and_can_not_do_more(database):
    """The view is readable; the table behind it, writes, DDL and files are not, also with the
    read-only default off.
    """
    with psycopg.connect(database, autocommit=True) as role:
        assert role.execute("select id from sentinel.tasks").fetchall() == [(1,)]
        settings = {
            name: role.execute(f"show {name}").fetchone()[0]
            for name in ("default_transaction_read_only", "statement_timeout", "lock_timeout")
        }
        assert settings == {
            "default_transaction_read_only": "on",
            "statement_timeout": "2s",
            "lock_timeout": "500ms",
        }
        role.execute("set default_transaction_read_only = off")
        for statement in FORBIDDEN:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                role.execute(statement)


def test_the_role_can_not_take_the_last_connections(database):
    """CONNECTION LIMIT 3: a leak of our own ends at three."""
    held = [psycopg.connect(database) for _ in range(3)]
    try:
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            psycopg.connect(database)
    finally:
        for connection in held:
            connection.close()
