"""How long a person waits for `sentinel --help`, and what importing all of sentinel costs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Benchmark, Report, Samples

PAIRS = 30
PROBE = """
import re, sys, time
begin = time.perf_counter()
import {module}
took = time.perf_counter() - begin
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(took * 1000, int(peak) / 1024)
"""


def run(report: Report) -> None:
    """Pairs of both commands, one after the other, so that noise hits both."""
    sentinel = str(Path(sys.executable).with_name("sentinel"))
    ours, bare = [], []
    for _ in range(PAIRS):
        ours.append(_wall([sentinel, "--help"]))
        bare.append(_wall([sys.executable, "-c", "pass"]))
    mine, floor = Samples.of(ours), Samples.of(bare)
    report.add(
        "`sentinel --help`, wall",
        f"{mine.median:.0f} ms",
        mine.spread("ms"),
        "≤ 60 ms",
        mine.median <= 60,
    )
    report.add("`python -c pass`, wall", f"{floor.median:.0f} ms", floor.spread("ms"))
    report.add("ratio of the medians", f"{mine.median / floor.median:.1f} ×")
    _measure_import(report, "sentinel.cli", "what `--help` imports")
    _measure_import(report, "sentinel.cli.running", "everything the daemon imports")
    report.notes.append(
        "Warm file cache and byte code; import time inside the process, start of Python excluded."
    )


def _wall(argv: Sequence[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return 1000 * (time.perf_counter() - begin)


def _measure_import(report: Report, module: str, what: str) -> None:
    argv = [sys.executable, "-c", PROBE.format(module=module)]
    lines = [
        subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
        for _ in range(10)
    ]
    took, rss = (Samples.of([float(line[i]) for line in lines]) for i in (0, 1))
    report.add(f"import of {what}", f"{took.median:.0f} ms", took.spread("ms"))
    report.add(f"peak RSS after import of {what}", f"{rss.median:.0f} MiB", rss.spread("MiB"))


BENCHMARK = Benchmark("the command line answers at once", run)
