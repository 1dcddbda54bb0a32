"""More checks than the machine can run: what still runs, and whether each slot is accounted for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import Benchmark, Report, apart
from benchmarks.target import serve
from sentinel.demo.servers import free_port

SIZES = (500, 1000, 2000, 4000, 8000)
"""Checks, each once a second."""
WARM_UP, WINDOW, STALL = 8.0, 12.0, 2.0
SHARE = 0.9
"""Of the peak, at twice as many checks."""
START_LIMIT = 120.0
_RUNS = re.compile(r'^sentinel_probe_runs_total\{[^}]*outcome="(\w+)"[^}]*\} ([0-9.e+]+)', re.M)


@dataclass(frozen=True, slots=True)
class Load:
    """What a daemon did with so many checks in a window: runs a second, slots of which each is
    accounted for, and those that were due.
    """

    checks: int
    rate: float
    accounted: float
    due: float

    @property
    def missing(self) -> float:
        """Share of what was due that is neither run nor counted as left out, below 0: more."""
        return 1 - self.accounted / self.due


def run(report: Report) -> None:
    """Twice as many each time, until it does not get faster, and once more."""
    found: list[Load] = []
    stalled: Load | None = None
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as name, serve(Path(name)) as ports:
        for size in SIZES:
            with (
                _start(Path(name, str(size)), size, ports.tcp) as (pid, url),
                apart(ports.pid, pid),
            ):
                if stalled is None:
                    stalled = _watch(url, size, lambda: _stall(pid))
                found.append(_watch(url, size))
            if len(found) > 1 and found[-1].rate < found[-2].rate * 1.1:
                break
    _describe(report, found, stalled)


def _stall(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(STALL)
    os.kill(pid, signal.SIGCONT)


@contextmanager
def _start(folder: Path, size: int, port: int) -> Iterator[tuple[int, str]]:
    """A daemon with so many checks of one port; its process and its metrics."""
    page = free_port()
    (folder / "checks").mkdir(parents=True)
    head = f"platform: bench\nlisten: 127.0.0.1:{page}\nstate: {folder}/state\ncomponents:\n"
    text = head + "".join(f"  c{n}: {{}}\n" for n in range(size // 10)) + "checks:\n"
    line = (
        "  - {{name: check-{n}, kind: tcp, component: c{c}, every: 1s, address: '127.0.0.1:{p}'}}\n"
    )
    text += "".join(line.format(n=n, c=n // 10, p=port) for n in range(size))
    (folder / "checks" / "sentinel.yaml").write_text(text)
    argv = [sys.executable, "-m", "sentinel", "--config", str(folder / "checks"), "run"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(argv, stdout=log, stderr=log) as daemon,
    ):
        try:
            url = f"http://127.0.0.1:{page}/metrics"
            _wait_until_it_runs(url, size)
            time.sleep(WARM_UP)
            yield daemon.pid, url
        finally:
            daemon.kill()


def _wait_until_it_runs(url: str, size: int) -> None:
    limit = time.monotonic() + START_LIMIT
    while True:
        try:
            if sum(_read(url)) >= size:
                return
        except (urllib.error.URLError, OSError):
            pass
        if time.monotonic() > limit:
            raise RuntimeError(f"a daemon with {size} checks does not get on")
        time.sleep(0.2)


def _read(url: str) -> tuple[float, float]:
    """Runs and slots left out, so far."""
    with urllib.request.urlopen(url, timeout=60) as answer:
        page = answer.read().decode()
    runs = skipped = 0.0
    for outcome, count in _RUNS.findall(page):
        if outcome == "skipped":
            skipped += float(count)
        else:
            runs += float(count)
    return runs, skipped


def _watch(url: str, size: int, disturb: Callable[[], None] = lambda: None) -> Load:
    runs, skipped = _read(url)
    begin = time.monotonic()
    disturb()
    time.sleep(max(begin + WINDOW - time.monotonic(), 0.0))
    later, left_out = _read(url)
    took = time.monotonic() - begin
    done = later - runs
    return Load(size, done / took, done + left_out - skipped, size * took)


def _describe(report: Report, found: list[Load], stalled: Load | None) -> None:
    peak = max(found, key=lambda each: each.rate)
    for each in found:
        missing = f"{100 * each.missing:.1f} % of {each.due:.0f} slots not accounted for"
        report.add(f"{each.checks} checks a second: run", f"{each.rate:.0f}/s", missing)
    over = found[-1]
    share = over.rate / peak.rate
    report.add(
        f"at {over.checks / peak.checks:.0f} × as many as at the peak",
        f"{100 * share:.0f} % of the peak",
        "",
        f"≥ {100 * SHARE:.0f} %",
        share >= SHARE,
    )
    if stalled is not None:
        share = stalled.missing
        slots = f"{stalled.due:.0f} slots"
        limit = 1 / WINDOW  # of each check one slot may lie on either side of an end
        goal = f"≤ {100 * limit:.0f} %"
        what = f"after a stall of {STALL:g} s: not accounted for"
        report.add(what, f"{100 * share:.1f} %", slots, goal, abs(share) <= limit)
    report.notes.append(
        f"The real daemon, `tcp` checks of one port, {WINDOW:g} s after {WARM_UP:g} s; a run that is under way at the"
        " end is not counted, so a slot a check is tolerated. Stall: SIGSTOP."
    )


BENCHMARK = Benchmark("more checks than can run", run)
"""P12."""
