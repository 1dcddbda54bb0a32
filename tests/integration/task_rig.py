"""A table of tasks with its traffic, and runs of `task_assignment` over it."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import uuid

import psycopg

from sentinel.adapters.postgres import PostgresClient
from sentinel.probes.task_assignment import KIND, AssignmentOptions

TASKS = """
CREATE TABLE {schema}.tasks (id bigserial PRIMARY KEY, kind text NOT NULL DEFAULT 'a',
                             status text NOT NULL DEFAULT 'PENDING',
                             created_at timestamptz NOT NULL DEFAULT now(),
                             assigned_at timestamptz, started_at timestamptz, progress_at timestamptz,
                             completed_at timestamptz, tenant text);
CREATE INDEX ON {schema}.tasks (created_at);
"""


class Rig:
    """A schema of its own, a client, a state and runs."""

    def __init__(self, dsn, make_context):
        self.dsn, self.make = dsn, make_context
        self.schema = f"s{uuid.uuid4().hex[:8]}"
        self.db = psycopg.connect(dsn, autocommit=True)
        self.execute("CREATE SCHEMA {schema}")
        self.client = PostgresClient("database", dsn)
        self.state = KIND.load_state(None)
        self.base = {}
        self.options = self.configure()

    def execute(self, sql, *params):
        return self.db.execute(sql.replace("{schema}", self.schema), params or None)

    def configure(self, **options):
        known = {
            "table": f"{self.schema}.tasks",
            "deadline": "100ms",
            "settle_after": "500ms",
            **self.base,
        }
        return AssignmentOptions(**{**known, **options})

    async def run(self, **context):
        return await KIND.run(
            self.options, self.make({"resource": self.client}, self.state, **context)
        )

    async def facts(self, **context):
        return (await self.run(**context)).evidence["assignment"]

    async def settle(self):
        """Run until everything created so far is behind both watermarks."""
        created = self.execute("SELECT clock_timestamp()").fetchone()[0]
        while True:
            finding = await self.run()
            if self.state.settled_to > created and self.state.observed_to > created:
                return finding
            await asyncio.sleep(0.02)

    async def close(self):
        await self.client.close()
        self.execute("DROP SCHEMA {schema} CASCADE")
        self.db.close()


def add(rig, count, latency="10 ms", status="assigned"):
    """Tasks that were created now and assigned `latency` later, by their timestamps."""
    rig.execute(
        "INSERT INTO {schema}.tasks (status, assigned_at) SELECT %s, now() + %s::interval FROM generate_series(1, %s)",
        status, latency, count,
    )  # fmt: skip


class Traffic:
    """Threads that create tasks and assign them, in transactions that may commit long after their
    timestamps.
    """

    def __init__(self, rig, seconds):
        self.rig, self.end = rig, time.monotonic() + seconds
        writers = [threading.Thread(target=self.create, args=(n,)) for n in range(6)]
        assigners = [threading.Thread(target=self.assign, args=(n,)) for n in range(3)]
        self.threads = [*writers, *assigners]
        for thread in self.threads:
            thread.start()

    def create(self, seed):
        dice = random.Random(seed)
        with psycopg.connect(self.rig.dsn, autocommit=True) as db:
            while time.monotonic() < self.end:
                with db.transaction():
                    for _ in range(dice.randint(1, 5)):
                        db.execute(
                            f"INSERT INTO {self.rig.schema}.tasks (kind) VALUES (%s)",
                            (f"kind-{dice.randint(1, 3)}",),
                        )
                    if seed < 2:
                        time.sleep(dice.choice((0.3, 2.5)))
                time.sleep(0.02 * dice.random())

    def assign(self, seed):
        dice = random.Random(seed)
        sql = (
            f"UPDATE {self.rig.schema}.tasks SET status = 'Assigned', assigned_at = now() WHERE id IN (SELECT id"
            f" FROM {self.rig.schema}.tasks WHERE assigned_at IS NULL ORDER BY random() LIMIT 5 FOR UPDATE SKIP LOCKED)"
        )
        with psycopg.connect(self.rig.dsn, autocommit=True) as db:
            while time.monotonic() < self.end:
                with db.transaction():
                    time.sleep(dice.choice((0.0, 0.0, 0.05)))
                    db.execute(sql)
                    time.sleep(dice.choice((0.0, 0.0, 0.05, 0.4)))
                time.sleep(0.01)
