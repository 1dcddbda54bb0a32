"""The daemon itself on real checks, scraped as Prometheus does it: what it costs, how late it is, how much
it can do; beside Prometheus with blackbox_exporter on the same thousand addresses.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fleet import MIX, SCRAPE_EVERY, Fleet, Look, Watcher, observe, open_fleet, watch
from benchmarks.harness import Benchmark, Report, Samples, cpu_seconds
from sentinel.demo.servers import free_port

CHECKS, EVERY = 10_000, 10.0
WARM_UP, WINDOW, WINDOWS = 60.0, 10.0, 4
RATE = CHECKS / EVERY
SIZES = (100, 1000)
"""The same number of runs a second with fewer checks: what a check costs depends on no other."""
HTTP = 1000
BURST = (2000, 0.25)
"""Checks and seconds between two runs of each: more than one core takes."""
PROMETHEUS, BLACKBOX = "prometheus", "prometheus-blackbox-exporter"


@dataclass(frozen=True, slots=True)
class Shares:
    """Windows of one daemon, and how it was after them."""

    looks: list[Look]
    start: float
    warm: float
    """MB resident after the warm-up."""

    @property
    def costs(self) -> Samples:
        """CPU of a run in each window, µs."""
        return Samples.of([each.cost for each in self.looks])


def run(report: Report) -> None:
    """Ten thousand checks; the same rate with fewer; more than it can do; then HTTP and its peer."""
    with _open() as fleet:
        many = _look_on(fleet, CHECKS, EVERY)
    _describe_many(report, many)
    for size in SIZES:
        with _open() as fleet:
            few = _look_on(fleet, size, size / RATE)
        ratio = many.costs.median / few.costs.median
        spread = few.costs.spread("µs", 0)
        report.add(f"CPU of a run, {size:,} checks", f"{few.costs.median:.0f} µs", spread)
        what = f"{CHECKS:,} checks ÷ {size:,} checks, CPU of a run"
        report.add(what, f"{ratio:.2f} ×", "", "≤ 1.2", ratio <= 1.2)
    with _open() as fleet:
        _describe_burst(report, _look_on(fleet, *BURST))
    with _open() as fleet:
        _compare_http(report, fleet)
    report.notes.append(
        f"`sentinel run` on {MIX}, each every {EVERY:g} s on servers on loopback, scraped every {SCRAPE_EVERY:g} s "
        f"(compressed); {WINDOWS} windows of {WINDOW:g} s after {WARM_UP:g} s. utime + stime of the process with its "
        "threads. Lateness: from the slot of a run to its start, from the daemon's own histogram; a share of a "
        "machine that is not calm makes it late, and its CPU no greater."
    )


@contextmanager
def _open() -> Iterator[Fleet]:
    with (
        tempfile.TemporaryDirectory(prefix="sentinel-bench-") as name,
        open_fleet(Path(name)) as it,
    ):
        yield it


def _look_on(fleet: Fleet, count: int, every: float) -> Shares:
    with watch(fleet, count, every) as watcher:
        return _take(watcher)


def _take(watcher: Watcher) -> Shares:
    time.sleep(WARM_UP)
    warm = watcher.rss()
    return Shares([observe(watcher, WINDOW) for _ in range(WINDOWS)], watcher.start, warm)


def _describe_many(report: Report, many: Shares) -> None:
    looks, name = many.looks, f"{CHECKS:,} checks"
    share = Samples.of([each.share for each in looks])
    late, worst = max(e.late_p99 for e in looks), max(e.late_max for e in looks)
    scraped = Samples.of([each.scrape for each in looks])
    skipped, rss = sum(each.skipped for each in looks), looks[-1].rss
    median = share.median
    report.add(
        f"{name}: CPU", f"{median:.0f} % of a core", share.spread("%", 0), "≤ 30 %", median <= 30
    )
    report.add(f"{name}: CPU of a run", f"{many.costs.median:.0f} µs", many.costs.spread("µs", 0))
    report.add(f"{name}: lateness p99", f"{1000 * late:.0f} ms", "", "≤ 25 ms", late <= 0.025)
    report.add(
        f"{name}: lateness, nothing above", f"{1000 * worst:.0f} ms", "", "≤ 150 ms", worst <= 0.15
    )
    report.add(f"{name}: slots skipped", f"{skipped:.0f}", "", "0", not skipped)
    report.add(f"{name}: a scrape, wall", f"{scraped.median:.2f} s", scraped.spread("s", 2))
    report.add(
        f"{name}: resident",
        f"{rss:.0f} MB",
        f"{many.warm:.0f} MB after the warm-up",
        "≤ 150 MB",
        rss <= 150,
    )
    report.add(f"{name}: start until each has a result, wall", f"{many.start:.0f} s")


def _describe_burst(report: Report, burst: Shares) -> None:
    rates = Samples.of([1e6 / each.cost for each in burst.looks])
    wanted = BURST[0] / BURST[1]
    ran = Samples.of([each.runs / each.seconds for each in burst.looks])
    told = Samples.of([(each.runs + each.skipped) / each.seconds / wanted for each in burst.looks])
    report.add(
        "overload: runs a CPU second",
        f"{rates.median:.0f}",
        rates.spread("1/s", 0),
        "≥ 3000",
        rates.median >= 3000,
    )
    report.add("overload: runs a second of wall", f"{ran.median:.0f}", ran.spread("1/s", 0))
    report.add(
        f"overload: of {wanted:,.0f} slots a second, run or counted as skipped",
        f"{100 * told.median:.1f} %", told.spread("", 3), "≥ 99 %", told.median >= 0.99,
    )  # fmt: skip


# -- the peer -------------------------------------------------------------------------------------


def _compare_http(report: Report, fleet: Fleet) -> None:
    with watch(fleet, HTTP, EVERY, only="http") as watcher:
        ours = Samples.of([each.share for each in _take(watcher).looks])
    with ExitStack() as stack:
        pids = [process.pid for process in _start_peer(fleet, stack)]
        time.sleep(WARM_UP)
        theirs = Samples.of([_share(pids) for _ in range(WINDOWS)])
    name, ratio = f"{HTTP:,} http checks", ours.median / theirs.median
    report.add(f"{name}: CPU", f"{ours.median:.1f} % of a core", ours.spread("%"))
    report.add(
        f"{name}: Prometheus and blackbox_exporter",
        f"{theirs.median:.1f} % of a core",
        theirs.spread("%"),
    )
    report.add(f"{name}: sentinel ÷ them", f"{ratio:.2f} ×", "", "≤ 0.5", ratio <= 0.5)


def _share(pids: list[int]) -> float:
    begin, spent = time.monotonic(), sum(map(cpu_seconds, pids))
    time.sleep(WINDOW)
    return 100 * (sum(map(cpu_seconds, pids)) - spent) / (time.monotonic() - begin)


def _start_peer(fleet: Fleet, stack: ExitStack) -> list[subprocess.Popen[bytes]]:
    """Both as they are packaged, on as many targets."""
    folder, exporter = fleet.folder, free_port()
    blackbox = folder / "blackbox.yml"
    blackbox.write_text(
        "modules: {http_2xx: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4}}}\n"
    )
    targets = [f"http://127.0.0.1:{fleet.ports.http}/health?n={n}" for n in range(HTTP)]
    relabel = [
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"target_label": "__address__", "replacement": f"127.0.0.1:{exporter}"},
    ]
    job = {
        "job_name": "blackbox", "metrics_path": "/probe", "params": {"module": ["http_2xx"]},
        "scrape_interval": f"{EVERY:g}s", "relabel_configs": relabel,
        "static_configs": [{"targets": targets, "labels": {}}],
    }  # fmt: skip
    config = folder / "prometheus.json"  # any JSON is YAML
    config.write_text(json.dumps({"scrape_configs": [job]}))
    storage = f"--storage.tsdb.path={folder / 'prometheus'}"
    return [
        _start(stack, BLACKBOX, f"--config.file={blackbox}", f"--web.listen-address=127.0.0.1:{exporter}"),
        _start(stack, PROMETHEUS, f"--config.file={config}", storage, f"--web.listen-address=127.0.0.1:{free_port()}"),
    ]  # fmt: skip


def _start(stack: ExitStack, *argv: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


BENCHMARK = Benchmark("the whole daemon on ten thousand real checks", run)
"""P1, P2, P11 and P12 as far as they speak of a daemon."""
