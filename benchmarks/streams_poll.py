"""What one run of `bus_delivery` costs over many streams, beside redis_exporter on the same server."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import redis

from benchmarks.harness import Benchmark, Report, Samples, apart, cpu_seconds, version_of
from sentinel.adapters.redis import RedisClient
from sentinel.core.fault import Status
from sentinel.core.model import Check, Finding
from sentinel.demo.servers import ValkeyServer, free_port
from sentinel.engine.pause import PauseGuard
from sentinel.engine.runner import Runner
from sentinel.metrics import Metrics
from sentinel.probes.bus_delivery import KIND, DeliveryOptions

SIZES = (200, 1000)
GROUPS = 3
ENTRIES = 50
POLLS = 15
PAUSE = 0.5
TURNS = 4
BUSY_SHARE = 10
"""One stream in so many gets an entry between two polls."""
WALL_GOAL, CPU_GOAL = 25.0, 15.0
EXPORTER = "prometheus-redis-exporter"


@dataclass(slots=True)
class Costs:
    """Milliseconds of each poll: wall, and CPU of the process that asks."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @contextmanager
    def measure(self, pid: int | None = None) -> Iterator[None]:
        """One poll, by this process or by another one."""
        begin, spent = time.perf_counter(), _spent(pid)
        yield
        self.wall.append(1000 * (time.perf_counter() - begin))
        self.cpu.append(1000 * (_spent(pid) - spent))


def _spent(pid: int | None) -> float:
    return time.process_time() if pid is None else cpu_seconds(pid)


def run(report: Report) -> None:
    """Server and exporter on one processor, we on another."""
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as folder:
        server = ValkeyServer(Path(folder))
        server.start()
        try:
            assert server.process is not None
            with apart(server.process.pid):
                for size in SIZES:
                    asyncio.run(_measure(report, server, size))
            with redis.Redis(port=server.port) as client:
                report.versions["Valkey"] = str(client.info()["valkey_version"])
        finally:
            server.stop()
    report.versions |= {"redis-py": version_of("redis"), "hiredis": version_of("hiredis")}
    report.notes.append(
        f"{GROUPS} groups a stream, {ENTRIES} entries; every {PAUSE:g} s each {BUSY_SHARE}th stream gets an entry, "
        f"which every group reads in time. In {TURNS} turns (`streams_per_run`) a run is so much shorter, and each "
        "stream is looked at as often. A run is what the daemon does: the kind, and its state dumped for the "
        "store. `XINFO GROUPS` alone, pipelined by redis-py, is this client library's floor and no accounting."
    )


async def _measure(report: Report, server: ValkeyServer, size: int) -> None:
    names = [f"agent_messages:agent-{i:04}" for i in range(size)]
    with redis.Redis(port=server.port) as plain:
        plain.flushall()
        _fill(plain, names)
        resting, _ = await _poll_ours(plain, server, names, busy=False)
        ours, settled = await _poll_ours(plain, server, names)
        turns, _ = await _poll_ours(plain, server, names, turns=TURNS)
        floor = _poll_floor(plain, names)
    last = size == SIZES[-1]
    _describe(report, f"{size} streams: `bus_delivery`, all at rest", resting, goal=last)
    _describe(
        report, f"{size} streams: `bus_delivery`, each {BUSY_SHARE}th moving", ours, goal=last
    )
    _describe(
        report, f"{size} streams: the same, {TURNS} turns of as many streams", turns, goal=last
    )
    report.add(f"{size} streams: settled in these polls", f"{settled:.0f} entries")
    _describe(report, f"{size} streams: redis-py, `XINFO GROUPS` alone", floor, goal=False)
    exporter = _poll_exporter(server, report)
    if exporter is not None:
        _describe(report, f"{size} streams: redis_exporter", exporter, goal=False)
        ratio = Samples.of(exporter.wall).median / Samples.of(resting.wall).median
        report.add(f"{size} streams: redis_exporter ÷ `bus_delivery`, wall", f"{ratio:.1f} ×")


def _fill(plain: redis.Redis, names: list[str]) -> None:
    """Every group is done with everything that is there."""
    for start in range(0, len(names), 50):
        with plain.pipeline(transaction=False) as pipe:
            for name in names[start : start + 50]:
                for n in range(ENTRIES):
                    pipe.xadd(name, {"payload": f"message {n}"})
                for group in range(GROUPS):
                    pipe.xgroup_create(name, f"group_{group}", "0")
                    pipe.xreadgroup(f"group_{group}", "reader", {name: ">"}, noack=True)
            pipe.execute()


async def _poll_ours(
    plain: redis.Redis, server: ValkeyServer, names: list[str], *, busy: bool = True, turns: int = 1
) -> tuple[Costs, float]:
    """Polls of the kind through the runner, as the daemon does; entries settled meanwhile. The
    streams are looked at in so many `turns`, so many times as often.
    """
    options = DeliveryOptions.model_validate(
        {
            "streams": {"include": ["agent_messages:*"]},
            "deadline": "3s",
            "streams_per_run": max(1, len(names) // turns),
        }
    )
    check = Check("delivery", KIND.name, "bus", 1.0, 10.0, options, {"resource": "bus"})
    metrics, client = Metrics(), RedisClient("bus", server.url)
    guard = PauseGuard(time.monotonic, _utcnow, metrics)
    assert KIND.load_state is not None
    states = {check.name: KIND.load_state(None)}
    runner = Runner(
        {"bus": client}, guard, metrics, _utcnow, time.monotonic, lambda _name: None, states
    )
    _work(plain, [], names)
    beat = asyncio.create_task(guard.run())
    costs, last = Costs(), (await runner.run(check, KIND)).finding
    for _ in range(turns - 1):
        last = (await runner.run(check, KIND)).finding
    for i in range(POLLS * turns):
        if busy and i % turns == 0:
            n = i // turns
            _work(
                plain,
                names[n % BUSY_SHARE :: BUSY_SHARE],
                names[(n - 1) % BUSY_SHARE :: BUSY_SHARE],
            )
        await asyncio.sleep(PAUSE / turns)
        with costs.measure():
            last = (await runner.run(check, KIND)).finding
        if last.status is not Status.UP:
            raise RuntimeError(f"the bus is healthy, but: {last.detail}")
    beat.cancel()
    await client.close()
    return costs, _settled(last)


def _settled(finding: Finding) -> float:
    values = [row.values.get("settled_total", 0.0) for row in finding.rows]
    return sum(value for value in values if isinstance(value, int | float))


def _work(plain: redis.Redis, busy: list[str], before: list[str]) -> None:
    """An entry for each busy stream: the first group reads it at once, the others in the next
    round.
    """
    with plain.pipeline(transaction=False) as pipe:
        for name in before:
            for group in range(1, GROUPS):
                pipe.xreadgroup(f"group_{group}", "reader", {name: ">"}, noack=True)
        for name in busy:
            pipe.xadd(name, {"payload": "one more"})
            pipe.xreadgroup("group_0", "reader", {name: ">"}, noack=True)
        pipe.execute()


def _poll_floor(plain: redis.Redis, names: list[str]) -> Costs:
    costs = Costs()
    for _ in range(POLLS):
        with costs.measure(), plain.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.xinfo_groups(name)
            pipe.execute()
    return costs


def _poll_exporter(server: ValkeyServer, report: Report) -> Costs | None:
    binary = shutil.which(EXPORTER)
    note = f"redis_exporter was left out: {EXPORTER} (Debian) is not installed."
    if binary is None:
        report.notes += [note] if note not in report.notes else []
        return None
    listen = f"127.0.0.1:{free_port()}"
    argv = [
        binary,
        "-redis.addr",
        server.url,
        "-web.listen-address",
        listen,
        "-check-streams",
        "agent_messages:*",
    ]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    costs = Costs()
    try:
        _wait(f"http://{listen}/metrics")
        for _ in range(POLLS):
            with costs.measure(process.pid):
                page = _get(f"http://{listen}/metrics")
            if b"redis_stream_group_messages_pending" not in page:
                raise RuntimeError("redis_exporter shows no stream groups")
    finally:
        process.terminate()
        process.wait(10)
    return costs


def _wait(url: str) -> None:
    for _ in range(100):
        try:
            _get(url)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer")


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


def _describe(report: Report, what: str, costs: Costs, *, goal: bool) -> None:
    for kind, values, limit in (("wall", costs.wall, WALL_GOAL), ("CPU", costs.cpu, CPU_GOAL)):
        samples = Samples.of(values)
        aim, met = (f"≤ {limit:g} ms", samples.median <= limit) if goal else ("", None)
        report.add(
            f"{what}, {kind} a poll", f"{samples.median:.1f} ms", samples.spread("ms"), aim, met
        )


def _utcnow() -> datetime:
    return datetime.now(UTC)


BENCHMARK = Benchmark("delivery accounting over many streams", run)
