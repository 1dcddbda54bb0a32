"""The shipped view for synthetic tasks (checks/acl/postgres.sql): enough for `workflow_canary`, for
no other row.
"""

from __future__ import annotations

import re
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
from sentinel.probes.workflow_canary import KIND
from tests.bus_bench import Awake

SQL = (shipped_folder("checks") / "acl" / "postgres.sql").read_text()
VIEW = re.search(
    r"-- (create view sentinel\.canaries.*?;)\n-- (grant .*? to sentinel;)", SQL, re.DOTALL
)
TASKS = """
CREATE TABLE public.tasks (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, type text NOT NULL, payload jsonb,
  status text NOT NULL DEFAULT 'pending', created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  assigned_at timestamptz, started_at timestamptz, completed_at timestamptz);
CREATE INDEX ON public.tasks (created_at);
INSERT INTO public.tasks (type, payload) VALUES ('report', '{"customer": "personal"}');
"""
FORBIDDEN = [
    (
        "insert into public.tasks (type) values ('sentinel.canary')",
        psycopg.errors.InsufficientPrivilege,
    ),
    ("select payload from public.tasks", psycopg.errors.InsufficientPrivilege),
    ("delete from public.tasks", psycopg.errors.InsufficientPrivilege),
    (
        "insert into sentinel.canaries (type) values ('report')",
        psycopg.errors.WithCheckOptionViolation,
    ),
    ("update sentinel.canaries set status = 'x'", psycopg.errors.InsufficientPrivilege),
    ("truncate public.tasks", psycopg.errors.InsufficientPrivilege),
]


@pytest.fixture
def database(postgres):
    """A database with a task of somebody else, the shipped role and the shipped view."""
    assert VIEW, "the lines for the canary are gone from postgres.sql"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("create database least_canary")
    with psycopg.connect(postgres.dsn("least_canary"), autocommit=True) as admin:
        for sql in (TASKS, SQL, VIEW[1].replace("\n--", "\n"), VIEW[2]):
            admin.execute(sql)
        yield admin, postgres.dsn("least_canary", "sentinel")
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("drop database least_canary with (force)")
        admin.execute("drop role sentinel")


async def test_the_view_is_enough_for_a_synthetic_task(database):
    """Inserted, watched, found done and deleted through the view alone; the task of somebody else
    stays.
    """
    admin, dsn = database
    client = PostgresClient("database", dsn)
    runner = Runner(
        {"database": client},
        Awake(),
        Metrics(),
        lambda: datetime.now(UTC),
        time.monotonic,
        lambda _: None,
    )
    columns = {"type": "sentinel.canary", "payload": {"canary": "{token}"}}
    options = KIND.options.model_validate(
        {
            "enqueue": {"sql": {"table": "sentinel.canaries", "columns": columns}},
            "rows": {"table": "sentinel.canaries", "marker": "payload"},
            "deadlines": dict.fromkeys(("created", "assigned", "started", "completed"), "60s"),
            "cleanup": {"keep": "0s"},
        }
    )
    check = Check("canary", KIND.name, "workflow", 10.0, 20.0, options, {"database": "database"})
    runner.states["canary"] = KIND.load_state(None)
    for _ in range(2):
        await runner.run(check, KIND)
    admin.execute(
        "update public.tasks set status = 'done', assigned_at = clock_timestamp(), started_at = clock_timestamp(),"
        " completed_at = clock_timestamp() where type = 'sentinel.canary'"
    )
    for _ in range(2):
        finding = (await runner.run(check, KIND)).finding
    await client.close()
    assert finding.status is Status.UP, finding
    assert (finding.evidence["workflow"]["ok"], finding.evidence["workflow"]["cleaned"]) == (1, 1)
    assert admin.execute("select count(*) from public.tasks where type = 'report'").fetchone() == (
        1,
    )


def test_the_view_lets_it_touch_nothing_else(database):
    """Rows of others can be neither seen, made, changed nor deleted, also with the read-only
    default off.
    """
    admin, dsn = database
    with psycopg.connect(dsn, autocommit=True) as role:
        role.execute("set default_transaction_read_only = off")
        assert role.execute("delete from sentinel.canaries").rowcount == 0
        assert role.execute("select * from sentinel.canaries").fetchall() == []
        for statement, error in FORBIDDEN:
            with pytest.raises(error):
                role.execute(statement)
    assert admin.execute("select count(*) from public.tasks").fetchone() == (1,)
