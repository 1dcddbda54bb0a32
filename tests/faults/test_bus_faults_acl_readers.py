"""Reliability catalogue, A9, for the kinds that read the bus beside `bus_delivery`: the shipped
user is enough on both families, and of each rule that is taken away the finding says so, blaming
nobody.

(For `bus_crosscheck`: tests/integration/test_bus_crosscheck.py, test_least_privilege.)
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import psycopg
import pytest

from sentinel.adapters.postgres import PostgresClient
from sentinel.adapters.redis import RedisClient
from sentinel.core.fault import Status
from sentinel.core.model import Check
from sentinel.engine.runner import Runner
from sentinel.metrics import Metrics
from sentinel.probes import bus_ledger, bus_pending, registry
from tests.bus_bench import GROUP, KEY, SECRET, Awake, Product
from tests.faults.test_bus_faults_acl import grant, rules_of

SCHEMA = """
DROP SCHEMA IF EXISTS acl_readers CASCADE; CREATE SCHEMA acl_readers;
CREATE TABLE acl_readers.agents (id text PRIMARY KEY, status text NOT NULL, last_heartbeat timestamptz);
"""
KINDS = {"bus_pending": bus_pending.KIND, "bus_ledger": bus_ledger.KIND, "registry": registry.KIND}
OPTIONS = {
    "bus_pending": {"streams": {"include": ["agent_messages:*"]}},
    "bus_ledger": {
        "places": [
            {"name": "dead", "type": "stream", "key": "dead_letter_queue"},
            {"name": "failed", "type": "list", "key": "failed"},
            {"name": "retry", "type": "zset", "key": "retry_queue"},
        ]
    },
    "registry": {
        "agents": {"table": "acl_readers.agents"},
        "heartbeats": {"key": "beats"},
        "consumers": {"streams": "agent_messages:*"},
    },
}
NEEDS = [
    *[
        ("bus_pending", word)
        for word in ("scan", "time", "xpending", "xinfo|stream", "xinfo|groups")
    ],
    ("bus_pending", "xinfo|consumers"),
    *[("bus_ledger", word) for word in ("time", "xinfo|stream", "llen", "zcard")],
    *[("registry", word) for word in ("scan", "xinfo|groups", "xinfo|consumers")],
]


class Reader:
    """One kind, run as the daemon does it, with the shipped read-only user."""

    def __init__(self, name: str, port: int, dsn: str) -> None:
        self.kind = KINDS[name]
        self.clients = {
            "bus": RedisClient("bus", f"redis://sentinel_ro:{SECRET}@127.0.0.1:{port}/0"),
            "database": PostgresClient("database", dsn),
        }
        self.runner = Runner(
            self.clients,
            Awake(),  # type: ignore[arg-type]
            Metrics(),
            lambda: datetime.now(UTC),
            time.monotonic,
            lambda _component: None,
        )
        if self.kind.load_state is not None:
            self.runner.states[name] = self.kind.load_state(None)

    async def run(self):
        """One run; no secret anywhere, no error of our own."""
        roles = {
            role: {"redis": "bus", "postgres": "database"}[sort.rstrip("?")]
            for role, sort in self.resources()
        }
        options = self.kind.options.model_validate(OPTIONS[self.kind.name])
        result = await self.runner.run(
            Check(self.kind.name, self.kind.name, "bus", 1.0, 20.0, options, roles), self.kind
        )
        assert SECRET not in repr(result)
        assert "sentinel's own error" not in result.finding.detail, result.finding.detail
        return result.finding

    def resources(self):
        return self.kind.resources.items()

    async def close(self) -> None:
        for client in self.clients.values():
            await client.close()


@pytest.fixture(params=["valkey", "redis7"])
def product(request, postgres):
    """A platform with one agent, one pending entry, one entry in each dead-letter place."""
    server = request.getfixturevalue(request.param)
    with psycopg.connect(postgres.dsn(), autocommit=True) as db, Product(server.port) as made:
        db.execute(SCHEMA)
        db.execute("INSERT INTO acl_readers.agents VALUES ('agent-2', 'ACTIVE', now())")
        made.publish(2)
        made.redis.xreadgroup(GROUP, "agent-2", {KEY: ">"})
        made.redis.zadd("beats", {"agent-2": time.time()})
        made.redis.xadd("dead_letter_queue", {"f": "v"})
        made.redis.rpush("failed", "x")
        made.redis.zadd("retry_queue", {"x": time.time() + 60})
        yield made
        made.redis.execute_command("ACL", "DELUSER", "sentinel_ro")
        db.execute("DROP SCHEMA acl_readers CASCADE")


@pytest.fixture
async def reader(product, postgres):
    """Makes a Reader."""
    made: list[Reader] = []

    def make(name: str) -> Reader:
        made.append(
            Reader(name, product.redis.connection_pool.connection_kwargs["port"], postgres.dsn())
        )
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.mark.parametrize("name", KINDS)
async def test_the_shipped_reading_user_is_enough(product, reader, name):
    """Nothing is refused, nothing is unknown for want of a right, nothing of the product is
    touched.
    """
    grant(product.redis, "sentinel_ro", rules_of("sentinel_ro"))
    before = product.redis.xinfo_groups(KEY)
    kind = reader(name)
    for _ in range(2):
        finding = await kind.run()
        assert "permission" not in repr(finding), finding
        assert finding.status is not Status.DOWN
    assert product.redis.xinfo_groups(KEY) == before


@pytest.mark.parametrize(("name", "word"), NEEDS)
async def test_a9_a_missing_rule_is_named(product, reader, name, word):
    """A9: one rule fewer: the finding names the command and is unknown, or says it of that subject
    alone.
    """
    rules = re.sub(rf" \+{re.escape(word)}(?=[ )]|$)", "", rules_of("sentinel_ro"))
    grant(product.redis, "sentinel_ro", rules)
    finding = await reader(name).run()
    assert f"'{word}'" in repr(finding), finding
    assert "permission" in repr(finding)
    assert finding.status in {Status.UNKNOWN, Status.DEGRADED}
