"""P7: what a scrape of 50,000 series costs, and for how long the event loop stands still for it.

Five thousand checks with four series of sentinel's own and six figures of a probe, which is 50,000;
the peer has the same series in prometheus_client and renders them with `generate_latest`.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from benchmarks.harness import Benchmark, Report, Samples, version_of
from sentinel.core.fault import Status
from sentinel.core.model import Check, Finding, Measurement, Result, Row
from sentinel.metrics import Metrics
from sentinel.web.exposition import Sheet, gather_pieces

CHECKS = 5000
FIGURES = ("latency", "entries", "age", "load", "errors", "depth")
TIMES = ("latency", "load")
"""Figures with all digits of a clock; the others are whole numbers. All are new at each run."""
ROUNDS = 15
BEAT = 0.0005
NOW = datetime.now(UTC)
MEASUREMENTS = tuple(
    Measurement(name, f"Figure {name}.", f"bench_{name}", labels=("target",)) for name in FIGURES
)


@dataclass(slots=True)
class Heart:
    """A task in the same loop that notes by how much each of its naps was too long, and what the
    thread of the loop did itself meanwhile, seconds.
    """

    late: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)

    async def beat(self) -> None:
        """For ever."""
        while True:
            begun, spent = time.perf_counter(), time.thread_time()
            await asyncio.sleep(BEAT)
            self.late.append(time.perf_counter() - begun - BEAT)
            self.busy.append(time.thread_time() - spent)


@dataclass(slots=True)
class Taken:
    """Samples of one way to render: CPU and wall of a scrape and the longest stall, each in ms."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    stall: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    size: int = 0

    async def cost(self, scrape: Callable[[], Awaitable[int]]) -> None:
        """One scrape alone."""
        begun, spent = time.perf_counter(), time.process_time()
        self.size = await scrape()
        self.cpu.append(1000 * (time.process_time() - spent))
        self.wall.append(1000 * (time.perf_counter() - begun))

    async def disturb(self, scrape: Callable[[], Awaitable[int]]) -> None:
        """One scrape with a heartbeat beside it."""
        heart = Heart()
        task = asyncio.create_task(heart.beat())
        await asyncio.sleep(10 * BEAT)
        heart.late.clear()
        heart.busy.clear()
        await scrape()
        await asyncio.sleep(2 * BEAT)
        task.cancel()
        self.stall.append(1000 * max(heart.late))
        self.busy.append(1000 * max(heart.busy))


class Ours:
    """Sentinel's metrics with results of all checks."""

    def __init__(self) -> None:
        self.metrics = Metrics(most=10 * CHECKS * len(FIGURES))
        self.names = [f"check-{i}" for i in range(CHECKS)]
        for i, name in enumerate(self.names):
            self.metrics.add_check(Check(name, "tcp", f"component-{i // 10}", 10.0, 1.0, None))
        self.change(1.0)

    def change(self, share: float) -> None:
        """One more result of so many checks, with all figures new."""
        for name in random.sample(self.names, int(share * CHECKS)):
            figures: dict[str, float] = {each: random.randrange(10**6) for each in FIGURES}
            figures |= {each: random.random() for each in TIMES}
            finding = Finding(Status.UP, "well", [Row({"target": name}, figures)])
            result = Result(name, finding, NOW, random.random() / 10, "t")
            self.metrics.observe(result, MEASUREMENTS)

    async def plain(self) -> int:
        """As it is served to who does not take gzip."""
        return sum(map(len, await gather_pieces(self.metrics.pieces())))

    async def packed(self) -> int:
        """With gzip."""
        return sum(map(len, await Sheet(await gather_pieces(self.metrics.pieces())).packed()))


class Peer:
    """The same series in prometheus_client, as they are declared with it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("check", "component", "kind", "resource", "status")
        status = Gauge("peer_check_status", "Status.", labels, registry=self.registry)
        success = Gauge("peer_success", "Success.", ["check"], registry=self.registry)
        took = Gauge("peer_duration", "Duration.", ["check"], registry=self.registry)
        runs = Counter("peer_runs", "Runs.", ["check"], registry=self.registry)
        figures = [
            Gauge(f"peer_{name}", "Figure.", ["check", "target"], registry=self.registry)
            for name in FIGURES
        ]
        for i in range(CHECKS):
            name = f"check-{i}"
            status.labels(name, f"component-{i // 10}", "tcp", "", "up").set(1)
            success.labels(name).set(time.time())
            took.labels(name).set(random.random())
            runs.labels(name).inc()
            for figure in figures:
                figure.labels(name, name).set(7.0)

    async def plain(self) -> int:
        """In one go, as the library does it."""
        return len(generate_latest(self.registry))


def run(report: Report) -> None:
    """All ways in turn, round by round."""
    asyncio.run(_run(report))
    report.versions["prometheus-client"] = version_of("prometheus-client")


async def _run(report: Report) -> None:
    ours, peer = Ours(), Peer()
    series = _count(ours.metrics)
    own = sum(series) - CHECKS * len(FIGURES) - _count(Metrics())[0]
    words = ("everything changed", "10 % changed", "10 % changed, gzip", "nothing changed", "peer")
    taken = {word: Taken() for word in words}
    await ours.plain()
    gc.collect()
    gc.freeze()
    ways = (
        (1.0, ours.plain), (0.1, ours.plain), (0.1, ours.packed), (0.0, ours.plain),
        (0.0, peer.plain),
    )  # fmt: skip
    for _ in range(ROUNDS):
        for word, (share, scrape) in zip(words, ways, strict=True):
            ours.change(share)
            await taken[word].cost(scrape)
            ours.change(share)
            await taken[word].disturb(scrape)
    gc.unfreeze()
    _tell(report, taken)
    a_kind = 4 + 9  # runs by outcome, and a histogram
    a_check = (own - a_kind) / CHECKS
    report.add("series of sentinel's own, a check", f"{a_check:g}", "", "≤ 5", a_check <= 5)
    report.notes.append(
        f"{sum(series)} series of {CHECKS} checks, {taken['peer'].size / 1e6:.1f} MB with the peer, "
        f"{taken['10 % changed'].size / 1e6:.1f} MB with ours, {taken['10 % changed, gzip'].size / 1e6:.2f} MB "
        "compressed. A result changes every line of its check but that of its status. Stall: by how much a nap of "
        f"{1000 * BEAT:g} ms in the same loop was too long; on the processor: what the loop's thread did itself "
        "meanwhile, so without what others took. CPU of a scrape is that of the process, threads included."
    )


def _count(metrics: Metrics) -> tuple[int]:
    lines: Iterator[bytes] = iter(metrics.render().splitlines())
    return (sum(not line.startswith(b"#") for line in lines),)


GOALS = {"everything changed": 40.0, "10 % changed": 8.0}
STALL = 5.0


def _tell(report: Report, taken: dict[str, Taken]) -> None:
    peer = Samples.of(taken["peer"].cpu)
    for word, each in taken.items():
        what = "prometheus_client, generate_latest" if word == "peer" else word
        cpu, wall, stall = (Samples.of(values) for values in (each.cpu, each.wall, each.stall))
        goal = GOALS.get(word)
        report.add(
            f"{what}: CPU of a scrape",
            f"{cpu.median:.1f} ms",
            cpu.spread("ms"),
            f"≤ {goal:g} ms" if goal else "",
            cpu.median <= goal if goal else None,
        )
        report.add(f"{what}: wall", f"{wall.median:.1f} ms", wall.spread("ms"))
        is_ours = word != "peer"
        report.add(
            f"{what}: stall of the loop",
            f"{stall.median:.1f} ms",
            stall.tail("ms"),
            f"≤ {STALL:g} ms" if is_ours else "",
            stall.median <= STALL if is_ours else None,
        )
        busy = Samples.of(each.busy)
        report.add(f"{what}: stall, on the processor", f"{busy.median:.1f} ms", busy.tail("ms"))
        if is_ours:
            report.add(f"prometheus_client ÷ {what}, CPU", f"{peer.median / cpu.median:.1f} ×")


BENCHMARK = Benchmark("a scrape of 50,000 series", run)
