"""What a result costs on the disk, and what watching the demo platform writes in a day."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Benchmark, Report, Samples
from benchmarks.idle_cost import open_demo
from sentinel.core.fault import Status
from sentinel.core.model import Check, Component, Finding, Result, Row
from sentinel.engine.assembly import Engine, Surroundings, make_engine
from sentinel.engine.automation import Restraint
from sentinel.engine.clock import SteadyClock
from sentinel.engine.recorder import Paces
from sentinel.metrics import Metrics
from sentinel.probes.tcp import KIND
from sentinel.store import Changes
from sentinel.store.sqlite import SqliteStore

CHECKS, LOOKS = 1000, 40
HOLD = 1.0
"""Seconds; a second stands for 45, and so many looks for so many of ten seconds."""
EACH_HOLD = 4
WARM_UP, WINDOW, WINDOWS = 200.0, 80.0, 3
GOAL_RESULT, GOAL_DAY = 1.0, 1.0
"""kB a result, GB a day."""


def run(report: Report) -> None:
    """The engine alone with checks that say the same; then the demo at rest."""
    written, commits = asyncio.run(_write_results())
    results = CHECKS * LOOKS
    kilobytes = written / results / 1000
    report.add(
        "written for a result that changes nothing",
        f"{kilobytes:.2f} kB",
        f"{results} results of {CHECKS} checks, {LOOKS // EACH_HOLD} times held",
        f"≤ {GOAL_RESULT:g} kB",
        kilobytes <= GOAL_RESULT,
    )
    report.add("transactions for it", f"{commits / results:.4f}", f"{commits} in all")
    rates = Samples.of(_watch_demo())
    day = rates.median * 86400 / 1e9
    report.add(
        "written while the demo is watched at rest",
        f"{day:.2f} GB a day",
        rates.spread("B/s", 0),
        f"≤ {GOAL_DAY:g} GB",
        day <= GOAL_DAY,
    )
    report.notes.append(
        "`write_bytes` of /proc/PID/io: pages that the process made dirty on a disk, write-ahead log and checkpoints"
        f" too. The demo runs for {WARM_UP:g} s before, and is not scraped; a scrape writes what totals were"
        f" counted. Of the engine alone a hold of {HOLD:g} s stands for 45 s, with {EACH_HOLD} looks in it as of checks"
        " of every 10 s."
    )


def make_place() -> str:
    """A folder on a disk: a file system in memory counts nothing."""
    Path("var").mkdir(exist_ok=True)
    return "var"


def read_written(pid: str | int) -> int:
    """Bytes that a process has made dirty on disks so far."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


# -- the engine alone -----------------------------------------------------------------------------


async def _write_results() -> tuple[int, int]:
    """Bytes and transactions of checks at rest."""
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-", dir=make_place()) as folder:
        store, commits = SqliteStore(Path(folder)), [0]
        plain = store.commit

        def commit(changes: Changes) -> None:
            commits[0] += 1
            plain(changes)

        store.commit = commit  # type: ignore[method-assign]
        given = Surroundings(
            store,
            Metrics(),
            SteadyClock(),
            Path(folder),
            Restraint(enabled=False),
            paces=Paces(hold=HOLD),
        )
        engine = make_engine(given)
        _fill(engine)
        for _ in range(8):  # until nothing about them is new
            await _look_at_all(engine)
        await engine.recorder.settle()
        before, commits[0] = read_written("self"), 0
        for _ in range(LOOKS):
            begun = time.perf_counter()
            await _look_at_all(engine)
            await asyncio.sleep(max(HOLD / EACH_HOLD - (time.perf_counter() - begun), 0.0))
        await engine.recorder.settle()
        found = read_written("self") - before, commits[0]
        engine.recorder.close()
        store.close()
    return found


def _fill(engine: Engine) -> None:
    for n in range(CHECKS):
        name = f"service-{n:04}"
        engine.picture.add_component(Component(name), None)
        options = KIND.options.model_validate({"address": f"10.1.{n % 250}.7:8080"})
        check = Check(f"{name}-port", KIND.name, name, 10.0, 5.0, options)
        engine.picture.add_check(check, KIND, None)


async def _look_at_all(engine: Engine) -> None:
    now = engine.pipeline.utcnow()
    for check, *_ in engine.picture.results():
        took = random.uniform(0.0005, 0.005)
        rows = [Row({"target": "a", "target_type": "tcp"}, {"connect_seconds": took})]
        finding = Finding(Status.UP, f"connected in {1000 * took:.2f} ms", rows)
        await engine.pipeline.take(Result(check.name, finding, now, took, "0" * 32))


# -- the demo -------------------------------------------------------------------------------------


def _watch_demo() -> list[float]:
    """Bytes a second, window by window."""
    rates = []
    with open_demo(make_place()) as (process, _url):
        time.sleep(WARM_UP)
        for _ in range(WINDOWS):
            before, begun = read_written(process.pid), time.monotonic()
            time.sleep(WINDOW)
            rates.append((read_written(process.pid) - before) / (time.monotonic() - begun))
    return rates


BENCHMARK = Benchmark("bytes written", run)
