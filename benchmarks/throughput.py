"""How many results a second one core takes through runner, pipeline and store, without a network in
between.
"""

from __future__ import annotations

import asyncio
import gc
import random
import tempfile
import time
from pathlib import Path

from benchmarks.harness import Benchmark, Report, Samples
from sentinel.core.fault import Status
from sentinel.core.model import Check, Component, Finding, Measurement, Row
from sentinel.engine.assembly import Engine, Surroundings, make_engine
from sentinel.engine.automation import Restraint
from sentinel.engine.clock import SteadyClock
from sentinel.engine.picture import Picture
from sentinel.metrics import Metrics
from sentinel.probes import Context, Kind, Options
from sentinel.store.sqlite import SqliteStore

SIZES = (100, 1000, 10_000)
PER_COMPONENT = 10
IN_FLIGHT = 50
ROUNDS = 5
SECONDS = 1.5
"""Of each round."""
GOAL = 8000


class NoOptions(Options):
    """The measured kind has none."""


async def _probe(_options: NoOptions, context: Context) -> Finding:
    """A probe that costs nothing: three figures of one subject."""
    figures = {"latency": random.random(), "entries": 7.0, "age": 1.5}
    return Finding(
        Status.UP,
        "status 200 in 3 ms",
        [Row({"target": context.check}, figures)],
        key=("latency", "3 ms"),
    )


KIND = Kind(
    "nothing",
    "Finds that all is well.",
    NoOptions,
    _probe,
    tuple(
        Measurement(name, name, f"bench_{name}", labels=("target",))
        for name in ("latency", "entries", "age")
    ),
)


def run(report: Report) -> None:
    """Every size in turn."""
    for size in SIZES:
        asyncio.run(_measure(report, size))
    report.notes.append(
        f"Runner, pipeline, metrics and SQLite in groups, {IN_FLIGHT} in flight, "
        f"{PER_COMPONENT} checks a component; the probe itself does nothing. CPU of the whole process, the store's "
        "thread included: results ÷ CPU seconds."
    )


async def _measure(report: Report, size: int) -> None:
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as folder:
        store = SqliteStore(Path(folder))
        metrics = Metrics()
        restraint, clock = Restraint(enabled=False), SteadyClock()
        engine = make_engine(Surroundings(store, metrics, clock, Path(folder), restraint))
        beat = asyncio.create_task(engine.guard.run())
        checks = _fill(engine.picture, size)
        gc.freeze()
        rounds = [await _round(engine, checks) for _ in range(ROUNDS)]
        beat.cancel()
        engine.recorder.close()
        store.close()
    rate, wall = (Samples.of([each[i] for each in rounds]) for i in (0, 1))
    met = rate.median >= GOAL if size == SIZES[-1] else None
    goal = f"≥ {GOAL}" if size == SIZES[-1] else ""
    report.add(
        f"results per CPU second, {size} checks",
        f"{rate.median:.0f}",
        rate.spread("1/s", 0),
        goal,
        met,
    )
    report.add(
        f"results per second of wall, {size} checks", f"{wall.median:.0f}", wall.spread("1/s", 0)
    )


def _fill(picture: Picture, size: int) -> list[Check]:
    for i in range(size // PER_COMPONENT):
        picture.add_component(Component(f"component-{i}"), None)
    options = NoOptions()
    checks = [
        Check(f"check-{i}", KIND.name, f"component-{i // PER_COMPONENT}", 10.0, 5.0, options)
        for i in range(size)
    ]
    for check in checks:
        picture.add_check(check, KIND, None)
    return checks


async def _round(engine: Engine, checks: list[Check]) -> tuple[float, float]:
    """Results per CPU second and per second of wall."""
    begin, spent = time.perf_counter(), time.process_time()
    counts = await asyncio.gather(
        *(_work(engine, checks, lane, begin + SECONDS) for lane in range(IN_FLIGHT))
    )
    done = sum(counts)
    return done / (time.process_time() - spent), done / (time.perf_counter() - begin)


async def _work(engine: Engine, checks: list[Check], lane: int, until: float) -> int:
    """One of the runs in flight: its share of the checks, round and round."""
    done, mine = 0, checks[lane::IN_FLIGHT]
    while time.perf_counter() < until:
        result = await engine.runner.run(mine[done % len(mine)], KIND)
        await engine.pipeline.take(result)
        done += 1
    return done


BENCHMARK = Benchmark("results through runner, pipeline and store", run)
