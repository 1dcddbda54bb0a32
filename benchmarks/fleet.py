"""Many real checks on real servers, watched by a real daemon that is scraped: as configuration and as
processes.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from benchmarks.harness import cpu_seconds
from benchmarks.target import Ports, serve
from sentinel.demo.servers import ValkeyServer, free_port

SCRAPE_EVERY = 5.0
START_LIMIT = 180.0
A_FILE = 2000
"""Checks in one file."""
MIX = "half of them `tcp`, 30 % `http`, 15 % `redis_server`, 5 % `process`"
WEBS = 100
"""HTTP resources: each has its own budget of requests."""
BUSES = 10
_FIRST = {"tcp": 0, "http": 10, "redis_server": 16, "process": 19}
"""Of twenty checks the first one of each kind."""
STATUS, SKIPPED = "checks by status: ", "skipped slots"
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def write_fleet(
    folder: Path, count: int, every: float, ports: Ports, bus: str, only: str = ""
) -> None:
    """The configuration of so many checks, ten a component; `only`: all of one kind."""
    pid_file = folder.parent / "pid"
    pid_file.write_text(str(ports.pid))
    lines = ["platform: bench", f"state: {folder.parent / 'state'}", "resources:"]
    lines += [f"  bus{n}: {{redis: '{bus.rstrip('0')}{n}'}}" for n in range(BUSES)]
    lines += [f"  web{n}: {{http: 'http://127.0.0.1:{ports.http}'}}" for n in range(WEBS)]
    lines += ["components:", *(f"  c{n}: {{}}" for n in range(-(-count // 10)))]
    folder.mkdir(exist_ok=True)
    (folder / "platform.yaml").write_text("\n".join(lines) + "\n")
    for begin in range(0, count, A_FILE):
        numbers = range(begin, begin + A_FILE)
        texts = (_write_check(n, every, ports, pid_file, only) for n in numbers)
        (folder / f"checks-{begin}.yaml").write_text("".join(list(texts)[: count - begin]))


def _write_check(n: int, every: float, ports: Ports, pid_file: Path, only: str) -> str:
    place = _FIRST[only] if only else n % 20
    if place < 10:
        body = f"kind: tcp\n  address: 127.0.0.1:{ports.tcp}"
    elif place < 16:
        body = f"kind: http\n  resource: web{n // 10 % WEBS}\n  path: /health"
    elif place < 19:
        body = f"kind: redis_server\n  resource: bus{n // 20 % BUSES}"
    else:
        body = f"kind: process\n  pid_file: {pid_file}"
    return f"- name: check-{n}\n  component: c{n // 10}\n  every: {every:g}s\n  {body}\n"


@dataclass(frozen=True, slots=True)
class Scrape:
    """A page of figures: sums over all label sets but `le`, and what it cost to get."""

    at: float
    seconds: float
    bytes: int
    figures: Mapping[str, float]
    buckets: Mapping[str, Mapping[float, float]]


def scrape(url: str) -> Scrape:
    """As Prometheus asks: compressed."""
    begin = time.monotonic()
    asked = urllib.request.Request(f"{url}/metrics", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        body = answer.read()
        packed = answer.headers.get("Content-Encoding") == "gzip"
    seconds = time.monotonic() - begin
    return _read(begin, seconds, len(body), _unpack(body) if packed else body)


def _unpack(body: bytes) -> bytes:

    return zlib.decompress(body, wbits=31)


def _read(at: float, seconds: float, size: int, text: bytes) -> Scrape:
    figures, buckets = dict[str, float](), dict[str, dict[float, float]]()
    for name, labels, value in _SAMPLE.findall(text.decode()):
        if name.endswith("_bucket"):
            le = float(labels.partition('le="')[2].partition('"')[0])
            found = buckets.setdefault(name.removesuffix("_bucket"), {})
            found[le] = found.get(le, 0.0) + float(value)
        else:
            key = _find_key(name, labels)
            figures[key] = figures.get(key, 0.0) + float(value)
    return Scrape(at, seconds, size, figures, buckets)


def _find_key(name: str, labels: str) -> str:
    if name == "sentinel_check_status":
        return STATUS + labels.rpartition('status="')[2].rstrip('"')
    return SKIPPED if 'outcome="skipped"' in labels else name


def quantile(before: Scrape, after: Scrape, name: str, q: float) -> float:
    """Of a histogram between two scrapes, in seconds, evenly spread within a bucket; q=1: the bound
    that nothing was above.
    """
    old = before.buckets.get(name, {})
    grown = [(le, count - old.get(le, 0.0)) for le, count in sorted(after.buckets[name].items())]
    wanted, low, below = q * grown[-1][1], 0.0, 0.0
    for le, count in grown:
        if count >= wanted and count:
            if q == 1 or le == float("inf"):
                return le
            return low + (le - low) * (wanted - below) / max(count - below, 1e-9)
        low, below = le, count
    return 0.0


@dataclass(slots=True)
class Watcher:
    """A running daemon, and all scrapes since it was ready."""

    process: subprocess.Popen[bytes]
    url: str
    state: Path
    scrapes: list[Scrape] = field(default_factory=list)
    failed: int = 0
    start: float = 0.0
    """Seconds until every check had a result."""

    @property
    def pid(self) -> int:
        """Of the daemon."""
        return self.process.pid

    def cpu(self) -> float:
        """Its CPU seconds so far."""
        return cpu_seconds(self.pid)

    def rss(self) -> float:
        """Resident now, MB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is watched."""

    folder: Path
    ports: Ports
    bus: str


@contextmanager
def open_fleet(folder: Path) -> Iterator[Fleet]:
    """The servers, on the last processor."""
    folder.chmod(0o755)
    valkey = ValkeyServer(folder / "valkey")
    valkey.start()
    try:
        with serve(folder) as ports:
            yield Fleet(folder, ports, valkey.url)
    finally:
        valkey.stop()


@contextmanager
def watch(
    fleet: Fleet,
    count: int,
    every: float = 10.0,
    launch: tuple[str, ...] = ("-m", "sentinel"),
    only: str = "",
) -> Iterator[Watcher]:
    """The daemon on so many checks, scraped as Prometheus would, from when all of them have run."""
    write_fleet(fleet.folder / "checks", count, every, fleet.ports, fleet.bus, only)
    listen = f"127.0.0.1:{free_port()}"
    argv = [sys.executable, *launch, "--config", str(fleet.folder / "checks"), "run"]
    environment = {**os.environ, "SENTINEL_LISTEN": listen}
    errors = fleet.folder / "stderr"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(argv, stdout=stderr, stderr=stderr, env=environment)
    watcher = Watcher(process, f"http://{listen}", fleet.folder / "state")
    ending = threading.Event()
    scraper = threading.Thread(target=_scrape_on, args=(watcher, ending))
    try:
        _wait_ready(watcher, errors)
        scraper.start()
        yield watcher
    finally:
        ending.set()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if scraper.ident is not None:
            scraper.join()


def _wait_ready(watcher: Watcher, errors: Path) -> None:
    begin = time.monotonic()
    while not _is_ready(watcher.url):
        if watcher.process.poll() is not None or time.monotonic() - begin > START_LIMIT:
            raise RuntimeError(f"the daemon did not start: {errors.read_text()[-800:]}")
        time.sleep(0.25)
    watcher.start = time.monotonic() - begin


def _is_ready(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:
        return int(answer.status) == 200
    return False


def _scrape_on(watcher: Watcher, ending: threading.Event) -> None:
    due = time.monotonic()
    while not ending.wait(max(due - time.monotonic(), 0.0)):
        try:
            watcher.scrapes.append(scrape(watcher.url))
        except (OSError, HTTPException):
            watcher.failed += 1
        due = max(due + SCRAPE_EVERY, time.monotonic())


@dataclass(frozen=True, slots=True)
class Look:
    """What a daemon did between two moments."""

    seconds: float
    cpu: float
    runs: float
    skipped: float
    late_p50: float
    late_p99: float
    late_max: float
    scrape: float
    """Seconds of the slowest one."""
    failed: int
    rss: float
    bad: float
    """Checks that are not up at the end."""

    @property
    def share(self) -> float:
        """Percent of a core."""
        return 100 * self.cpu / self.seconds

    @property
    def cost(self) -> float:
        """CPU of a run with all that belongs to it, scrapes included, µs."""
        return self.cpu / max(self.runs, 1.0) * 1e6


def observe(watcher: Watcher, seconds: float, sleep: Callable[[float], None] = time.sleep) -> Look:
    """Look on for so long."""
    before, failed = scrape(watcher.url), watcher.failed
    begin, spent, known = time.monotonic(), watcher.cpu(), len(watcher.scrapes)
    sleep(seconds)
    cpu, passed = watcher.cpu() - spent, time.monotonic() - begin
    after = scrape(watcher.url)
    lateness = "sentinel_check_lateness_seconds"

    def gain(name: str) -> float:
        return after.figures.get(name, 0.0) - before.figures.get(name, 0.0)

    states = {key: value for key, value in after.figures.items() if key.startswith(STATUS)}
    return Look(
        seconds=passed,
        cpu=cpu,
        runs=gain("sentinel_check_runs_total"),
        skipped=gain(SKIPPED),
        late_p50=quantile(before, after, lateness, 0.5),
        late_p99=quantile(before, after, lateness, 0.99),
        late_max=quantile(before, after, lateness, 1.0),
        scrape=max((each.seconds for each in watcher.scrapes[known:]), default=after.seconds),
        failed=watcher.failed - failed,
        rss=watcher.rss(),
        bad=sum(states.values()) - states.get(f"{STATUS}up", 0.0),
    )
