"""Runbook steps on real servers: the session itself is read-only, whatever a step's text gets past
us.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.core.fault import Status
from sentinel.core.model import Finding
from sentinel.demo.servers import PostgresServer, ValkeyServer
from sentinel.runbook import act as acting
from sentinel.runbook.book import AppliesTo, BookStep, RedisCommand, Runbook, Sql
from sentinel.runbook.read import read_runbooks
from sentinel.runbook.run import run_runbook
from sentinel.runbook.transcript import Transcript

SHIPPED = Path(__file__).parents[2] / "runbooks"


class RealHands:
    """Hands on real servers, as the app gives them."""

    def __init__(self, postgres: PostgresClient, bus: RedisClient) -> None:
        self._postgres, self._bus = postgres, bus

    async def run_check(self, name: str) -> Finding:
        return Finding(
            Status.DOWN if name in {"bus-server", "task-assignment"} else Status.UP, name
        )

    async def sql(self, resource: str, text: str) -> Sequence[Mapping[str, Any]]:
        assert resource == "database"
        async with self._postgres.snapshot() as query:
            rows: list[dict[str, Any]] = await query(text)
            return rows

    async def redis(self, resource: str, argv: Sequence[str]) -> Any:
        assert resource == "bus"
        return await self._bus.call(*argv)

    async def look(self, view: str, subject: str) -> str:
        return f"{view} {subject}"

    async def permit(self, step: BookStep) -> None:
        """Everything."""

    async def action(self, name: str, args: Mapping[str, str]) -> str:
        return f"{name} {dict(args)}"

    def now(self) -> datetime:
        return datetime.now(UTC)


@pytest.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[PostgresClient]:
    """A client as sentinel makes it, and a table of the same shape as the demo's views."""
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute("DROP SCHEMA IF EXISTS watch CASCADE; CREATE SCHEMA watch")
        admin.execute(
            "CREATE TABLE watch.tasks AS SELECT 1 AS id, 'pending' AS status, NULL::text AS assigned_agent_id,"
            " ARRAY['sql'] AS required_capabilities, now() - interval '1 h' AS created_at,"
            " NULL::timestamptz AS assigned_at"
        )
        admin.execute(
            "CREATE TABLE watch.agents AS SELECT 'agent-1' AS id, 'active' AS status, ARRAY['sql'] AS capabilities,"
            " now() AS last_heartbeat"
        )
        admin.execute(
            "CREATE FUNCTION watch.sneaky() RETURNS int LANGUAGE sql VOLATILE AS 'DELETE FROM watch.tasks RETURNING id'"
        )
        admin.execute("DROP TABLE IF EXISTS public.workers")
        admin.execute("CREATE TABLE public.workers AS SELECT * FROM watch.tasks")
        client = PostgresClient("database", postgres.dsn())
        yield client
        await client.close()
        admin.execute("DROP TABLE public.workers")
        admin.execute("DROP SCHEMA watch CASCADE")


@pytest.fixture
async def hands(database: PostgresClient, valkey: ValkeyServer) -> AsyncIterator[RealHands]:
    """Hands on a real PostgreSQL and a real Valkey."""
    bus = RedisClient("bus", valkey.url)
    yield RealHands(database, bus)
    await bus.close()


async def run_one(act: Sql | RedisCommand, hands: RealHands) -> Transcript:
    book = Runbook("x", "X", AppliesTo(), (), (BookStep("a", act, 5.0, changes=False),), {}, "")
    return await run_runbook(book, {}, hands, dry_run=False)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT watch.sneaky()",
        "WITH gone AS (DELETE FROM watch.tasks RETURNING id) SELECT count(*) FROM gone",
        "SELECT set_config('transaction_read_only', 'off', true), watch.sneaky()",
        "SELECT * INTO watch.copy FROM watch.tasks",
        "DELETE FROM watch.tasks",
    ],
)
async def test_sql_step_cannot_write(
    hands: RealHands, database: PostgresClient, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Even past the list of words, the READ ONLY session refuses the write and the row stays."""
    monkeypatch.setattr(acting, "refuse_sql", lambda _text: "")
    transcript = await run_one(Sql("database", text), hands)
    assert transcript.records[0].outcome == "failed"
    assert await database.query("SELECT count(*) AS n FROM watch.tasks") == [{"n": 1}]


async def test_sql_step_shows_its_rows(hands: RealHands) -> None:
    """Rows come as columns with a heading."""
    transcript = await run_one(Sql("database", "SELECT id, status FROM watch.tasks"), hands)
    assert transcript.records[0].output.split() == ["id", "status", "1", "pending"]


async def test_redis_step_cannot_write(hands: RealHands, valkey: ValkeyServer) -> None:
    """A writing command is refused before it is sent; a reading one answers."""
    with redis.Redis(port=valkey.port) as client:
        client.xadd("agent_messages:agent-1", {"a": "b"})
        refused = await run_one(RedisCommand("bus", ("DEL", "agent_messages:agent-1")), hands)
        assert refused.records[0].outcome == "failed"
        assert client.xlen("agent_messages:agent-1") == 1
    answered = await run_one(RedisCommand("bus", ("XLEN", "agent_messages:agent-1")), hands)
    assert answered.records[0].output == "1"


GIVEN = {
    "check": "task-assignment",
    "server": "bus-server",
    "health": "database-health",
    "registry": "registry",
    "canary": "bus-canary",
    "port_check": "bus-port",
    "bus": "bus",
    "database": "database",
    "tasks": "watch.tasks",
    "task_agent": "assigned_agent_id",
    "task_status": "status",
    "status": "status",
    "created_at": "created_at",
    "assigned_at": "assigned_at",
    "component": "agent-1",
    "assigner": "orchestrator",
}


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("component-exhausted", "watch.tasks"),
        ("bus-unreachable", ""),
        ("assigner-hung", "watch.tasks"),
        ("assigner-hung", "workers"),
    ],
)
async def test_shipped_runbooks_run(
    hands: RealHands, valkey: ValkeyServer, name: str, tasks: str
) -> None:
    """Every reading step of the shipped runbooks works on real servers, up to the unconfirmed
    change; a table without a schema is one of `public`.
    """
    with redis.Redis(port=valkey.port) as client:
        client.xgroup_create("agent_messages:agent-1", "group_agent-1", mkstream=True)
    book = read_runbooks(SHIPPED)[name]
    declared = {each.name for each in book.parameters}
    parameters = {key: value for key, value in GIVEN.items() if key in declared}
    parameters |= {"tasks": tasks} if tasks else {}
    transcript = await run_runbook(book, parameters, hands, dry_run=False)
    programs = {
        record.name for record in transcript.records if record.detail.startswith("no program")
    }
    failed = [
        record
        for record in transcript.records
        if record.outcome == "failed" and record.name not in programs
    ]
    assert failed == []
    assert transcript.records[-1].outcome in {"declined", "stopped"}
