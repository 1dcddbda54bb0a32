"""Ten thousand checks as files: reading them, reading them anew, what they weigh."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.fleet import A_FILE, MIX, write_fleet
from benchmarks.harness import Benchmark, Report, Samples, version_of
from benchmarks.target import Ports
from sentinel.app.reloading import compare, keep_known
from sentinel.config import load

CHECKS = 10_000
ROUNDS = 5
RELOAD = 0.6
"""Seconds of CPU beside the loop."""


def run(report: Report) -> None:
    """Each round in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as name:
        folder = Path(name, "checks")
        nowhere = Ports(os.getpid(), 8000, 9000, 8443, folder)
        write_fleet(folder, CHECKS, 10.0, nowhere, "redis://127.0.0.1:6379/0")
        rounds = [_measure(folder) for _ in range(ROUNDS)]
    first, again, weight = (Samples.of([each[i] for each in rounds]) for i in range(3))
    report.add(f"CPU to read {CHECKS:,} checks", f"{first.median:.2f} s", first.spread("s", 2))
    report.add(
        "CPU to read them anew and to find what changed",
        f"{again.median:.2f} s",
        again.spread("s", 2),
        f"≤ {RELOAD} s",
        again.median <= RELOAD,
    )
    report.add(
        "resident memory of one check as it is configured",
        f"{weight.median:.1f} kB",
        weight.spread("kB", 1),
    )
    report.notes.append(
        f"{CHECKS:,} checks of {CHECKS // 10:,} components in {CHECKS // A_FILE} files, {MIX}. "
        "A running daemon reads in a thread; what did not change keeps its values."
    )
    report.versions |= {"PyYAML": version_of("PyYAML"), "pydantic": version_of("pydantic")}


def _measure(folder: Path) -> tuple[float, ...]:
    argv = [sys.executable, "-m", "benchmarks.many_checks", folder]
    ended = subprocess.run(argv, check=True, capture_output=True, text=True)
    return tuple(map(float, ended.stdout.split()))


def _read(folder: Path) -> tuple[float, float, float]:
    """CPU seconds of the first reading and of the second, kB a check."""
    gc.collect()
    before, begin = _resident(), time.process_time()
    old = load(folder, {})
    first = time.process_time() - begin
    gc.collect()
    weight = (_resident() - before) / CHECKS / 1024
    begin = time.process_time()
    fresh = load(folder, {})
    kept, differences = keep_known(old, fresh), compare(old, fresh)
    again = time.process_time() - begin
    if differences.changed or len(kept.checks) != CHECKS:
        raise RuntimeError("what is the same was taken for another")
    return first, again, weight


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


BENCHMARK = Benchmark("ten thousand checks as files", run)
"""P11 as far as it lies there."""

if __name__ == "__main__":
    print(*_read(Path(sys.argv[1])))
