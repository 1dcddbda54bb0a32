"""The orchestrator of the demo platform: `python -m sentinel.demo.orchestrator`.

Wakes up by NOTIFY, gives each pending task to a live agent that has the capabilities, and puts the
message in the outbox in the same transaction; what the outbox holds is then published, so a crash
anywhere loses nothing and at worst publishes twice. Delivery is confirmed by the task leaving
`assigned`: a task that does not is published again with exponential backoff, after three times it
is failed and goes to the dead letters. Also moves flows: status, phase and progress from their
tasks.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterable
from typing import Any

import redis
from psycopg.types.json import Jsonb

from sentinel.demo.bus import DEAD_LETTERS, HEARTBEATS, Fields, Publisher, envelope, stream_of
from sentinel.demo.component import Away, Backoff, Connection, Frame, Stop
from sentinel.demo.ledger import Ledger, microseconds

_WAIT_SECONDS = 0.2
_SWEEP_SECONDS = 0.25
_REGISTRY_SECONDS = 0.5
_ALIVE_SECONDS = 5.0
_FLOW_SECONDS = 0.5
_REDELIVER_SECONDS = 15.0
_REDELIVERIES = 3
_NEVER = 10.0**9

_PENDING = """
SELECT id, type, required_capabilities, flow_id FROM tasks
WHERE status = 'pending' AND assigned_at IS NULL AND created_at <= clock_timestamp() - %s * interval '1 s'
ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED"""
_ASSIGN = """
UPDATE tasks SET status = 'assigned', assigned_agent_id = %s, assigned_at = clock_timestamp(),
  redeliver_at = clock_timestamp() + %s * interval '1 s'
WHERE id = %s RETURNING created_at, assigned_at"""
_UNDELIVERED = """
SELECT id, type, required_capabilities, flow_id, retry_count FROM tasks
WHERE status = 'assigned' AND redeliver_at < clock_timestamp() ORDER BY redeliver_at LIMIT 100
FOR UPDATE SKIP LOCKED"""
_REDELIVER = """
UPDATE tasks SET assigned_agent_id = %s, retry_count = retry_count + 1,
  redeliver_at = clock_timestamp() + %s * 2 ^ (retry_count + 1) * interval '1 s' WHERE id = %s"""
_GIVE_UP = "UPDATE tasks SET status = 'failed' WHERE id = %s"
_ENQUEUE = "INSERT INTO outbox (stream, fields) VALUES (%s, %s)"
_MOVE_FLOWS = """
WITH progress AS (
  SELECT flow_id, count(*) AS total, count(*) FILTER (WHERE status = 'completed') AS done,
         count(*) FILTER (WHERE status = 'failed') AS failed, count(assigned_at) AS assigned,
         max(assigned_agent_id) AS worker
  FROM tasks WHERE flow_id IN (SELECT id FROM flows WHERE status IN ('initialized', 'running')) GROUP BY flow_id),
next AS (
  SELECT flow_id, worker, round(100.0 * done / total, 1) AS progress,
         CASE WHEN done + failed = total THEN CASE WHEN failed > 0 THEN 'failed' ELSE 'completed' END
              ELSE 'running' END AS status,
         CASE WHEN done = total THEN 'finished' WHEN done > 0 THEN 'execution' ELSE 'preparation' END AS phase
  FROM progress WHERE assigned > 0)
UPDATE flows f SET status = n.status, phase = n.phase, progress = n.progress, worker_id = n.worker,
  updated_at = clock_timestamp(),
  status_changed_at = CASE WHEN f.status = n.status THEN f.status_changed_at ELSE clock_timestamp() END
FROM next n WHERE f.id = n.flow_id
  AND (f.status, f.phase, f.progress) IS DISTINCT FROM (n.status, n.phase, n.progress)"""


class Roster:
    """Who lives and can do what; the last news count for five seconds when there are none."""

    def __init__(self) -> None:
        self._capabilities: dict[str, frozenset[str]] = {}
        self._seen: dict[str, float] = {}
        self._turn = itertools.count()

    def learn_capabilities(self, rows: Iterable[tuple[str, list[str]]]) -> None:
        """Take over the registry: (agent, capabilities)."""
        self._capabilities = {agent: frozenset(capabilities) for agent, capabilities in rows}

    def learn_heartbeats(self, beats: Iterable[tuple[bytes, float]]) -> None:
        """Take over the heartbeats: (agent, epoch seconds)."""
        self._seen = {agent.decode(): at for agent, at in beats}

    def choose(self, required: Iterable[str]) -> str | None:
        """A live agent with all of `required`, in turn; None when there is none."""
        needs, since = frozenset(required), time.time() - _ALIVE_SECONDS
        able = sorted(
            agent
            for agent, can in self._capabilities.items()
            if needs <= can and self._seen.get(agent, 0) > since
        )
        return able[next(self._turn) % len(able)] if able else None


class Timer:
    """True once per `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._next = seconds, 0.0

    def due(self) -> bool:
        """Whether the time has come; if so the next one is set."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + self._seconds
        return True


class Orchestrator:
    """The loop of the orchestrator."""

    def __init__(self, frame: Frame, stop: Stop) -> None:
        self._frame, self._stop = frame, stop
        self._ledger = Ledger(frame.folder, frame.name)
        self._redis, self._database = frame.redis(), frame.database(listen="task_created")
        self._publisher = Publisher(self._redis, self._ledger)
        self._roster = Roster()
        self._registry, self._flows, self._sweep = (
            Timer(_REGISTRY_SECONDS),
            Timer(_FLOW_SECONDS),
            Timer(_SWEEP_SECONDS),
        )
        self._bus_backoff, self._bus_not_before = Backoff(), 0.0
        self._woken: set[str] = set()

    def run(self) -> None:
        """Work until asked to stop."""
        while not self._stop:
            try:
                self._turn()
            except Away:
                self._stop.sleep(_WAIT_SECONDS)

    def _turn(self) -> None:
        if self._registry.due():
            self._learn()
        tenants = set(self._frame.tenants) if self._sweep.due() else self._woken
        self._woken = set()
        assigned = sum([self._assign(tenant) for tenant in sorted(tenants)])
        if assigned or tenants:
            self._flush()
        if self._flows.due():
            self._maintain()
        self._wait()

    def _wait(self) -> None:
        with self._database.connection() as connection:
            for notice in connection.notifies(timeout=_WAIT_SECONDS, stop_after=1):
                self._woken.add(notice.payload)
        self._woken &= set(self._frame.tenants)

    def _learn(self) -> None:
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT id, capabilities FROM agents WHERE status = 'active'"
            ).fetchall()
        self._roster.learn_capabilities(rows)
        try:
            beats: Any = self._redis.zrangebyscore(
                HEARTBEATS, time.time() - _ALIVE_SECONDS, "+inf", withscores=True
            )
            self._roster.learn_heartbeats(beats)
        except redis.RedisError:
            return  # the last heartbeats count until they are too old

    # --- assignment -------------------------------------------------------------------------------

    def _assign(self, tenant: str) -> int:
        """Assign what is pending; how many. Intent before the commit, confirmation after it."""
        fault = self._frame.control("slow-assigner")
        delay = 0.0 if fault is None else fault.get("delay_seconds") or _NEVER
        with self._database.transaction(tenant) as connection:
            rows = connection.execute(_PENDING, (delay,)).fetchall()
            done = [self._give(connection, tenant, row) for row in rows]
            tasks = [facts for facts in done if facts is not None]
            if tasks:
                self._ledger.write("assign_intent", tasks=tasks)
        if tasks:
            self._ledger.write("assigned", tasks=tasks)
        return len(tasks)

    def _give(
        self, connection: Connection, tenant: str, row: tuple[Any, ...]
    ) -> tuple[str, int, int] | None:
        task, kind, required, flow = row
        agent = self._roster.choose(required)
        if agent is None:
            return None
        times = connection.execute(_ASSIGN, (agent, _REDELIVER_SECONDS, task)).fetchone()
        assert times is not None  # noqa: S101 - the row is locked by this transaction
        self._enqueue(connection, agent, tenant, task, kind, flow)
        return str(task), microseconds(times[0]), microseconds(times[1])

    def _enqueue(
        self, connection: Connection, agent: str, tenant: str, task: Any, kind: str, flow: Any
    ) -> None:
        payload = {
            "task_id": str(task),
            "tenant_id": tenant,
            "task_type": kind,
            "flow_id": flow and str(flow),
        }
        message = envelope("task", self._frame.name, agent, payload, str(flow or task))
        connection.execute(_ENQUEUE, (stream_of(agent), Jsonb(message)))

    # --- outbox -----------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Publish what the outbox holds, in order. The bus being away is no failure: the outbox
        keeps it.
        """
        if time.monotonic() < self._bus_not_before:
            return
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT position, stream, fields FROM outbox ORDER BY position LIMIT 500"
            )
            waiting = rows.fetchall()
        try:
            for stream, group in itertools.groupby(sorted(waiting, key=_by_stream), key=_by_stream):
                self._publish(stream, list(group))
            self._bus_backoff.reset()
        except redis.RedisError:
            self._bus_not_before = time.monotonic() + self._bus_backoff.next()

    def _publish(self, stream: str, rows: list[tuple[Any, ...]]) -> None:
        messages: list[Fields] = [row[2] for row in rows]
        ids = self._publisher.publish(stream, messages)
        sent = [row[0] for row, entry in zip(rows, ids, strict=True) if entry is not None]
        with self._database.connection() as connection:
            connection.execute("DELETE FROM outbox WHERE position = ANY(%s)", (sent,))
        if len(sent) < len(rows):
            raise redis.ResponseError("the bus refused a message")

    # --- delivery confirmation and flows ----------------------------------------------------------

    def _maintain(self) -> None:
        for tenant in self._frame.tenants:
            with self._database.transaction(tenant) as connection:
                connection.execute(_MOVE_FLOWS)
                for row in connection.execute(_UNDELIVERED).fetchall():
                    self._redeliver(connection, tenant, row)

    def _redeliver(self, connection: Connection, tenant: str, row: tuple[Any, ...]) -> None:
        task, kind, required, flow, retries = row
        agent = self._roster.choose(required)
        if retries >= _REDELIVERIES:
            connection.execute(_GIVE_UP, (task,))
            letter = envelope(
                "undelivered", self._frame.name, "", {"task_id": str(task), "tenant_id": tenant}
            )
            connection.execute(_ENQUEUE, (DEAD_LETTERS, Jsonb(letter)))
        elif agent is not None:
            connection.execute(_REDELIVER, (agent, _REDELIVER_SECONDS, task))
            self._enqueue(connection, agent, tenant, task, kind, flow)


def _by_stream(row: tuple[Any, ...]) -> str:
    return str(row[1])


def main() -> int:
    """Run the orchestrator; 1 at once while the control file `die-orchestrator` exists."""
    stop = Stop()
    frame = Frame("orchestrator")
    if frame.control("die-orchestrator") is not None:
        return 1
    Orchestrator(frame, stop).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
