"""A small platform in a schema of its own, that does as a test tells it, and the probe that watches
it.
"""

from __future__ import annotations

import asyncio
import json
import uuid

import psycopg

from sentinel.adapters.postgres import PostgresClient
from sentinel.probes.workflow_canary import KIND, WorkflowOptions

TASKS = """
CREATE TABLE {schema}.tasks (id uuid PRIMARY KEY, kind text NOT NULL CHECK (kind <> 'forbidden'),
  needs varchar[] NOT NULL DEFAULT '{}', payload jsonb NOT NULL, agent text, status text NOT NULL DEFAULT 'PENDING',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(), assigned_at timestamptz, started_at timestamptz,
  completed_at timestamptz, result jsonb);
CREATE INDEX ON {schema}.tasks (created_at);
"""
HOPS = ("created", "assigned", "started", "completed")
STATUS = dict(zip(HOPS, ("Pending", "Assigned", "In_Progress", "Completed"), strict=True))
OUTCOMES = ("ok", "late", "stuck", "lost", "failed", "enqueue_error", "orphan")
COLUMNS = {
    "id": "{uuid}",
    "kind": "report",
    "needs": ["python", "a b"],
    "payload": {"canary": "{token}", "n": 1},
}
NEVER = "1h"


class Rig:
    """A schema of its own, a platform in it that does as it is told, a client, a state and runs."""

    def __init__(self, dsn, make_context):
        self.dsn, self.make = dsn, make_context
        self.schema = f"s{uuid.uuid4().hex[:8]}"
        self.db = psycopg.connect(dsn, autocommit=True)
        self.execute("CREATE SCHEMA {schema}")
        self.clients = {"database": PostgresClient("database", dsn)}
        self.state = KIND.load_state(None)
        self.options = self.configure()
        self.stored = None
        self.clock = 0.0  # our own: it stands still unless told, so that no task is given up because we are slow

    def execute(self, sql, *params):
        return self.db.execute(sql.replace("{schema}", self.schema), params or None)

    def value(self, sql, *params):
        return self.execute(sql, *params).fetchone()[0]

    def configure(self, **options):
        table = f"{self.schema}.tasks"
        known = {
            "enqueue": {"sql": {"table": table, "columns": COLUMNS}},
            "rows": {"table": table, "marker": "payload", "agent": "agent"},
            "deadlines": dict.fromkeys((*HOPS, "published"), "200ms"),
            "patience": 1.5,
            "result": {"column": "result", "path": "$.echo", "equals": "{token}"},
            "cleanup": {"keep": "0s"},
            "max_open": 100,
        }
        return WorkflowOptions.model_validate({**known, **options})

    async def run(self, store=True, **context):
        """One run; `store=False` is a kill before its state was stored."""
        context = self.make(self.clients, self.state, monotonic=lambda: self.clock, **context)
        finding = await KIND.run(self.options, context)
        if store:
            self.stored = json.dumps(self.state.dump())
        return finding

    def reload(self):
        """A kill and a new start, with the state that was stored last."""
        self.state = KIND.load_state(json.loads(self.stored) if self.stored else None)

    async def send(self, store=True):
        """One run that sends; the token that is on its way since then."""
        before = set(self.state.fleet.open)
        finding = await self.run(store)
        (token,) = set(self.state.fleet.open) - before
        return token, finding

    async def look(self, **context):
        """One run that sends nothing."""
        kept, self.options = self.options, self.options.model_copy(update={"max_open": 0})
        finding = await self.run(**context)
        self.options = kept
        return finding

    async def drain(self):
        """Send nothing more, let time pass, and look until nothing is on its way and nothing is
        left to clean.
        """
        fleet = self.state.fleet
        async with asyncio.timeout(30):
            while True:
                finding = await self.look()
                if not fleet.open and not fleet.litter and not fleet.suspects:
                    return finding
                self.clock += 1.0
                await asyncio.sleep(0.05)

    def move(self, token, upto="completed", late="", result=None, status=None):
        """The platform takes a task up to a hop: 10 ms each, 450 ms for a late one."""
        at = self.state.fleet.open[token].sent
        times = {}
        for hop in HOPS[: HOPS.index(upto) + 1]:
            at += 0.45 if hop == late else 0.01
            times[hop] = at
        self.execute(
            "UPDATE {schema}.tasks SET status = %s, agent = 'a', result = %s, created_at = to_timestamp(%s),"
            " assigned_at = to_timestamp(%s), started_at = to_timestamp(%s), completed_at = to_timestamp(%s)"
            " WHERE payload ->> 'canary' = %s",
            status or STATUS[upto],
            json.dumps({"echo": token if result is None else result})
            if upto == "completed"
            else None,
            *(times.get(hop) for hop in HOPS),
            token,
        )

    def vanish(self, token):
        self.execute("DELETE FROM {schema}.tasks WHERE payload ->> 'canary' = %s", token)

    async def close(self):
        for client in self.clients.values():
            await client.close()
        self.execute("DROP SCHEMA {schema} CASCADE")
        self.db.close()


def facts(finding):
    return finding.evidence["workflow"]


def conserved(finding):
    counts = facts(finding)
    return counts["sent"] == sum(counts[name] for name in OUTCOMES) + counts["open"]
