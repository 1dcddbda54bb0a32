"""A canary on its way through a stream: one at a time, and a hundred in flight, beside the server's
own PING.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import redis

from benchmarks.harness import Benchmark, Report, Samples, apart, version_of
from sentinel.adapters.redis import RedisClient
from sentinel.core.canary.letter import Outcome
from sentinel.core.fault import Status
from sentinel.demo.servers import ValkeyServer
from sentinel.probes import Context
from sentinel.probes.bus_canary import KIND, CanaryOptions

ALONE, TOGETHER, BURST, ROUNDS = 200, 5, 100, 3
PINGS = 20_000
RATIO, RATE = 1.8, 40_000
"""Of a PING in C, and canaries a CPU second."""
_P50 = re.compile(r'^"PING_MBULK",(?:"[^"]*",){3}"([0-9.]+)"', re.MULTILINE)


def run(report: Report) -> None:
    """Server on one processor, we and the peer on another; rounds in turn."""
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as folder:
        server = ValkeyServer(Path(folder))
        server.start()
        try:
            assert server.process is not None
            with apart(server.process.pid):
                ours, peer, naive = [], [], []
                for _ in range(ROUNDS):
                    ours.append(asyncio.run(_send(server)))
                    peer += _ping(server)
                    naive.append(_send_plainly(server))
        finally:
            server.stop()
    _describe(report, ours, peer, naive)


def _make_context(server: ValkeyServer) -> Context:
    return Context(
        check="canary",
        component="bus",
        trace_id="0" * 32,
        interval=5.0,
        timeout=4.0,
        clients={"resource": RedisClient("bus", server.url)},
        state=KIND.load_state(None) if KIND.load_state else None,
        utcnow=lambda: datetime.now(UTC),
        monotonic=time.monotonic,
        stalled=lambda _since: 0.0,
    )


async def _send(server: ValkeyServer) -> tuple[float, float, float]:
    """From sending to arrival of one, a whole run, both p50 in µs; canaries a CPU second."""
    context = _make_context(server)
    single, many = CanaryOptions(path="one"), CanaryOptions(path="one", burst=BURST)
    travelled, took = list[float](), list[float]()
    for _ in range(20):
        await KIND.run(single, context)
    record = context.state.paths["one"].record
    record.latency["total"].add = travelled.append
    for _ in range(ALONE):
        begin = time.perf_counter()
        _check((await KIND.run(single, context)).status)
        took.append((time.perf_counter() - begin) * 1e6)
    alone = Samples.of(travelled).median * 1e6
    before, spent = record.tally.total(Outcome.OK), time.process_time()
    for _ in range(TOGETHER):
        _check((await KIND.run(many, context)).status)
    spent = time.process_time() - spent
    done = record.tally.total(Outcome.OK) - before
    await context.state.close()
    await context.redis().close()
    return alone, Samples.of(took).median, done / spent


def _check(status: Status) -> None:
    if status is not Status.UP:
        raise RuntimeError(f"the bus is healthy, and the canary says {status}")


def _ping(server: ValkeyServer) -> list[float]:
    """Median time of a PING of one client in C, µs; none where there is no such program."""
    program = shutil.which("valkey-benchmark") or shutil.which("redis-benchmark")
    if program is None:
        return []
    argv = [program, "-p", str(server.port), "-c", "1", "-n", str(PINGS), "-t", "ping_mbulk"]
    told = subprocess.run([*argv, "--csv"], check=True, capture_output=True, text=True)
    return [1000 * float(found) for found in _P50.findall(told.stdout)]


def _send_plainly(server: ValkeyServer) -> float:
    """XADD, XREADGROUP and XACK by redis-py, one after another, without any accounting: p50, µs."""
    took = []
    with redis.Redis(port=server.port) as client:
        client.delete("plain")
        client.xgroup_create("plain", "g", mkstream=True)
        for n in range(ALONE):
            begin = time.perf_counter()
            client.xadd("plain", {"n": n})
            ((_, ((entry, _fields),)),) = client.xreadgroup("g", "c", {"plain": ">"})
            client.xack("plain", "g", entry)
            took.append((time.perf_counter() - begin) * 1e6)
    return Samples.of(took).median


def _describe(
    report: Report,
    ours: list[tuple[float, float, float]],
    peer: list[float],
    plain: list[float],
) -> None:
    alone, took, rate = (Samples.of([each[i] for each in ours]) for i in range(3))
    if peer:
        ping = Samples.of(peer)
        ratio = alone.median / ping.median
        value = f"{alone.median:.0f} µs, {ratio:.1f} of a PING in C"
        report.add(
            "sent → arrived, p50", value, alone.spread("µs", 0), f"≤ {RATIO}", ratio <= RATIO
        )
        report.add("PING of redis-benchmark, p50", f"{ping.median:.0f} µs", ping.spread("µs", 0))
    else:
        report.add("sent → arrived, p50", f"{alone.median:.0f} µs", alone.spread("µs", 0))
        report.notes.append("`redis-benchmark` is not installed: nothing to compare with.")
    report.add("a whole run, p50", f"{took.median:.0f} µs", took.spread("µs", 0))
    report.add(
        f"canaries a CPU second, {BURST} in flight",
        f"{rate.median:.0f}",
        rate.spread("1/s", 0),
        f"≥ {RATE}",
        rate.median >= RATE,
    )
    bare = Samples.of(plain)
    text = "redis-py: XADD, XREADGROUP, XACK, nothing counted, p50"
    report.add(text, f"{bare.median:.0f} µs", bare.spread("µs", 0))
    report.notes.append(
        f"{ALONE} runs with one canary, {TOGETHER} with {BURST}, in each of {ROUNDS} rounds: the kind as the daemon"
        " runs it, with lease, promise, reader, settlement and audit of its ledger. From sending to arrival is what"
        " it tells as its latency."
    )
    report.versions |= {"redis-py": version_of("redis"), "hiredis": version_of("hiredis")}


BENCHMARK = Benchmark("a canary through a stream", run)
"""P3."""
