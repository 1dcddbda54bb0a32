"""What one check costs from the runner to the wire and back, by kind, beside blackbox_exporter."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.harness import Benchmark, Report, Samples, apart, cpu_seconds
from benchmarks.target import Ports, serve
from sentinel.app.wiring import Clients
from sentinel.config import Resource
from sentinel.core.fault import Status
from sentinel.core.model import Check
from sentinel.demo.servers import ValkeyServer, free_port
from sentinel.engine.clock import SteadyClock
from sentinel.engine.pause import PauseGuard
from sentinel.engine.runner import Runner
from sentinel.metrics import Metrics
from sentinel.probes import load_kinds

RUNS = 1000
"""Of each kind in a round."""
IN_FLIGHT = 20
ROUNDS = 7
BLACKBOX = "prometheus-blackbox-exporter"
MIX = {"tcp": 0.5, "http": 0.3, "redis_server": 0.15, "process": 0.05}
GOALS = {"http": 1 / 4, "tcp": 1 / 3, "https": 0.9}
"""Share of what blackbox_exporter uses for the same, for the whole daemon."""
RATE = 8000


@dataclass(frozen=True, slots=True)
class Bench:
    """Checks by what is measured."""

    runner: Runner
    checks: dict[str, list[Check]]


def run(report: Report) -> None:
    """Every kind on real servers, then the peer."""
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        valkey = ValkeyServer(folder / "valkey")
        valkey.start()
        try:
            with serve(folder) as ports, apart(ports.pid):
                ours = asyncio.run(_measure(ports, valkey.url, folder))
                peer = _measure_blackbox(ports, folder)
        finally:
            valkey.stop()
    _describe(report, ours, peer)


async def _measure(ports: Ports, bus: str, folder: Path) -> dict[str, Samples]:
    """CPU of a run in µs, by what is measured."""
    clients = Clients(_resources(ports, bus))
    clock, metrics = SteadyClock(), Metrics()
    guard = PauseGuard(clock.monotonic, clock.utcnow, metrics)
    runner = Runner(clients, guard, metrics, clock.utcnow, clock.monotonic, lambda _name: None)
    bench = Bench(runner, _checks(ports, folder))
    beat = asyncio.create_task(guard.run())
    found = {name: Samples.of([await each async for each in _rounds(bench, name)])
             for name in bench.checks}  # fmt: skip
    beat.cancel()
    await clients.close()
    return found


async def _rounds(bench: Bench, name: str) -> Any:
    await _round(bench, name)
    gc.collect()
    for _ in range(ROUNDS):
        yield _round(bench, name)


async def _round(bench: Bench, name: str) -> float:
    checks, kinds = bench.checks[name], load_kinds()

    async def work(lane: int) -> None:
        for check in checks[lane::IN_FLIGHT]:
            result = await bench.runner.run(check, kinds[check.kind])
            if result.finding.status is not Status.UP:
                raise RuntimeError(f"{name}: {result.finding.detail}")

    for check in checks:
        load = kinds[check.kind].load_state
        if load is not None and check.name not in bench.runner.states:
            bench.runner.states[check.name] = load(None)
    spent = time.process_time()
    await asyncio.gather(*map(work, range(IN_FLIGHT)))
    return (time.process_time() - spent) / len(checks) * 1e6


def _resources(ports: Ports, bus: str) -> dict[str, Resource]:
    trust = {"ca_file": str(ports.issuer)}
    return {
        "web": Resource("web", "http", f"http://127.0.0.1:{ports.http}"),
        "webs": Resource("webs", "http", f"https://localhost:{ports.https}", options=trust),
        "bus": Resource("bus", "redis", bus),
    }


def _checks(ports: Ports, folder: Path) -> dict[str, list[Check]]:
    pid_file = folder / "pid"
    pid_file.write_text(str(os.getpid()))
    return {
        "tcp": _make("tcp", "", address=f"127.0.0.1:{ports.tcp}"),
        "http": _make("http", "web"),
        "http kept": _make("http", "web", connection="kept"),
        "https": _make("http", "webs"),
        "https kept": _make("http", "webs", connection="kept"),
        "redis_server": _make("redis_server", "bus"),
        "process": _make("process", "", pid_file=str(pid_file)),
    }


def _make(kind: str, resource: str, **options: Any) -> list[Check]:
    made = load_kinds()[kind].options.model_validate(options)
    roles = {"resource": resource} if resource else {}
    label = "-".join([kind, resource, *options])
    return [Check(f"{label}-{n}", kind, "c", 10.0, 10.0, made, roles) for n in range(RUNS)]


# -- the peer -------------------------------------------------------------------------------------

_MODULES = """
modules:
  tcp: {prober: tcp, timeout: 5s, tcp: {preferred_ip_protocol: ip4}}
  http: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4, tls_config: {ca_file: %s}}}
"""


def _measure_blackbox(ports: Ports, folder: Path) -> dict[str, Samples]:
    """CPU of the exporter for one probe in µs; nothing where it is not installed."""
    program = shutil.which(BLACKBOX)
    if program is None:
        return {}
    targets = {
        "tcp": ("tcp", f"127.0.0.1:{ports.tcp}"),
        "http": ("http", f"http://127.0.0.1:{ports.http}/"),
        "https": ("http", f"https://localhost:{ports.https}/"),
    }
    with _exporter(program, ports, folder) as (pid, url):
        return {
            name: Samples.of([_probe(pid, url, *target) for _ in range(ROUNDS)])
            for name, target in targets.items()
        }


@contextmanager
def _exporter(program: str, ports: Ports, folder: Path) -> Iterator[tuple[int, str]]:
    (folder / "blackbox.yml").write_text(_MODULES % ports.issuer)
    place = f"127.0.0.1:{free_port()}"
    argv = [program, f"--config.file={folder}/blackbox.yml", f"--web.listen-address={place}"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            limit = time.monotonic() + 10
            while time.monotonic() < limit:
                try:
                    urllib.request.urlopen(f"http://{place}/-/healthy", timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield process.pid, f"http://{place}/probe"
        finally:
            process.kill()


def _probe(pid: int, url: str, module: str, target: str) -> float:
    """As many probes as we run, as many at once, asked for as Prometheus does."""
    asked = f"{url}?{urlencode({'module': module, 'target': target})}"

    def ask(_n: int) -> None:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            if b"probe_success 1" not in answer.read():
                raise RuntimeError(f"blackbox_exporter does not reach {target}")

    ask(0)
    spent = cpu_seconds(pid)
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        list(pool.map(ask, range(RUNS)))
    return (cpu_seconds(pid) - spent) / RUNS * 1e6


def _describe(report: Report, ours: dict[str, Samples], peer: dict[str, Samples]) -> None:
    for name, samples in ours.items():
        other = peer.get(name.removesuffix(" kept"))
        ratio = f"{samples.median / other.median:.2f} of blackbox_exporter" if other else ""
        goal = GOALS.get(name)
        met = samples.median / other.median <= goal if other and goal else None
        value = f"{samples.median:.0f} µs" + (f", {ratio}" if ratio else "")
        report.add(
            f"CPU of a run, {name}",
            value,
            samples.spread("µs", 0),
            f"≤ {goal:.2f}" if goal else "",
            met,
        )
    for name, samples in peer.items():
        report.add(
            f"CPU of a probe of blackbox_exporter, {name}",
            f"{samples.median:.0f} µs",
            samples.spread("µs", 0),
        )
    mean = sum(ours[kind].median * share for kind, share in MIX.items())
    report.add("runs per CPU second, mix", f"{1e6 / mean:.0f}", "", f"≥ {RATE}", 1e6 / mean >= RATE)
    mixed = ", ".join(f"{share:.0%} {kind}" for kind, share in MIX.items())
    report.notes.append(
        f"Runner, probe and adapter against real servers on loopback, {RUNS} runs a round, {IN_FLIGHT} in flight, "
        f"{ROUNDS} rounds; without scheduler, pipeline, store and page. Mix: {mixed}. A new connection for each run "
        "unless it says `kept`; blackbox_exporter opens one for each probe, too."
    )
    if not peer:
        report.notes.append(f"`{BLACKBOX}` is not installed: nothing to compare with.")


BENCHMARK = Benchmark("the path of a check, from runner to wire", run)
"""P2 and P5 as far as they lie there."""
