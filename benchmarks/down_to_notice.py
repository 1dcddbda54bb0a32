"""From a target that goes down to the notice of it: the real daemon, its check and its webhook."""

from __future__ import annotations

import os
import queue
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.harness import Benchmark, Report, Samples
from sentinel.demo.servers import free_port

INTERVAL, OUTAGES, PEER_OUTAGES = 1.0, 25, 8
SLACK = 0.25
"""Seconds beyond the interval of the check."""
GIVE_UP = 60.0
CONFIGURATION = """
platform: bench
listen: 127.0.0.1:{page}
state: {folder}/state
channels:
  hook: {{kind: webhook, address: "{hook}/ours", secret: "${{HOOK_KEY}}", most: 1000}}
routes: [{{channels: [hook]}}]
components: {{{components}}}
checks:
"""
CHECK = """
  - {{name: web{n}, kind: tcp, component: web{n}, every: 1s, address: "127.0.0.1:{port}",
      failures: 1, of: 1, recoveries: 1, recovery_time: 0s}}
"""
PROMETHEUS = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{folder}/rules.yml"]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{manager}"]}}]}}]}}
scrape_configs:
  - job_name: probe
    metrics_path: /probe
    params: {{module: [tcp], target: ["127.0.0.1:{port}"]}}
    static_configs: [{{targets: ["127.0.0.1:{blackbox}"]}}]
"""
RULES = "groups: [{name: a, rules: [{alert: Down, expr: probe_success == 0}]}]\n"
MODULES = "modules: {tcp: {prober: tcp, timeout: 1s}}\n"
MANAGER = """
route: {{receiver: hook, group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers: [{{name: hook, webhook_configs: [{{url: "{hook}/theirs"}}]}}]
"""
PEERS = "prometheus", "prometheus-blackbox-exporter", "prometheus-alertmanager"


class Target:
    """A port that listens, or not, and takes who comes."""

    def __init__(self) -> None:
        self.port = free_port()
        self.listen()

    def listen(self) -> None:
        """It is up."""
        self._socket = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._accept, args=(self._socket,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        try:
            while True:
                listening.accept()[0].close()
        except OSError:
            return

    def fall(self) -> float:
        """It is down; since when."""
        at = time.monotonic()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        return at


class Hook:
    """Who is told, and when."""

    def __init__(self) -> None:
        self.told: queue.Queue[tuple[str, float]] = queue.Queue()
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                told.put((body, time.monotonic()))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait(self, words: str) -> float:
        """When it was told something with these words."""
        limit = time.monotonic() + GIVE_UP
        while True:
            body, at = self.told.get(timeout=max(limit - time.monotonic(), 0.001))
            if words in body.replace(" ", ""):
                return at


def run(report: Report) -> None:
    """One after the other, at random moments of their intervals."""
    with tempfile.TemporaryDirectory(prefix="sentinel-bench-") as name:
        folder = Path(name)
        with _start_sentinel(folder / "ours") as (targets, hook):
            ours = _measure(targets, hook, ('"event":"opened"', '"over":true'))
        peer = _measure_peer(folder / "theirs", report)
    _describe(report, ours, peer)


def _measure(targets: list[Target], hook: Hook, words: tuple[str, str]) -> Samples:
    """Milliseconds from the end of a target to the notice, one target after the other."""
    took = []
    for target in targets:
        time.sleep(random.uniform(0.0, INTERVAL))
        fell = target.fall()
        took.append(1000 * (hook.wait(words[0]) - fell))
        target.listen()
        hook.wait(words[1])
    return Samples.of(took)


@contextmanager
def _start_sentinel(folder: Path) -> Iterator[tuple[list[Target], Hook]]:
    """With a target for each outage: one that falls again and again counts as flapping."""
    targets, hook, page = [Target() for _ in range(OUTAGES)], Hook(), free_port()
    (folder / "checks").mkdir(parents=True)
    names = ", ".join(f"web{n}: {{}}" for n in range(OUTAGES))
    text = CONFIGURATION.format(folder=folder, hook=hook.url, components=names, page=page)
    text += "".join(CHECK.format(n=n, port=each.port) for n, each in enumerate(targets))
    (folder / "checks" / "sentinel.yaml").write_text(text)
    argv = [sys.executable, "-m", "sentinel", "--config", str(folder / "checks"), "run"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SENTINEL_")}
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(argv, env=kept | {"HOOK_KEY": "k" * 32}, stdout=log, stderr=log) as daemon,
    ):
        try:
            _wait_ready(f"http://127.0.0.1:{page}/-/ready")
            yield targets, hook
        finally:
            daemon.terminate()


def _wait_ready(url: str) -> None:
    limit = time.monotonic() + GIVE_UP
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                answer.read()
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > limit:
                raise
            time.sleep(0.1)


def _measure_peer(folder: Path, report: Report) -> Samples | None:
    """The chain of the field with all of its timers at a second, or None."""
    programs = [shutil.which(each) or shutil.which(each.rpartition("-")[2]) for each in PEERS]
    if not all(programs):
        missing = ", ".join(n for n, found in zip(PEERS, programs, strict=True) if not found)
        report.notes.append(f"Prometheus and Alertmanager were left out: no {missing} (Debian).")
        return None
    target, hook = Target(), Hook()
    ports = {name: free_port() for name in ("prometheus", "blackbox", "manager")}
    given = {**ports, "folder": folder, "port": target.port, "hook": hook.url}
    folder.mkdir()
    (folder / "prometheus.yml").write_text(PROMETHEUS.format(**given))
    (folder / "rules.yml").write_text(RULES)
    (folder / "blackbox.yml").write_text(MODULES)
    (folder / "manager.yml").write_text(MANAGER.format(**given))
    prometheus, blackbox, manager = map(str, programs)
    with ExitStack() as stack:
        for argv in (
            [
                prometheus,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
            ],
            [
                blackbox,
                f"--config.file={folder}/blackbox.yml",
                f"--web.listen-address=127.0.0.1:{ports['blackbox']}",
            ],
            [
                manager,
                f"--config.file={folder}/manager.yml",
                f"--storage.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{ports['manager']}",
                "--cluster.listen-address=",
            ],
        ):
            stack.callback(_start(argv))
        _wait_ready(f"http://127.0.0.1:{ports['prometheus']}/-/ready")
        _wait_ready(f"http://127.0.0.1:{ports['manager']}/-/ready")
        time.sleep(5)  # its first round
        words = '"status":"firing"', '"status":"resolved"'
        return _measure([target] * PEER_OUTAGES, hook, words)


def _start(argv: list[str]) -> Callable[[], None]:
    """A program; what ends it."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end() -> None:
        process.terminate()
        process.wait(10)

    return end


def _describe(report: Report, ours: Samples, peer: Samples | None) -> None:
    limit = 1000 * (INTERVAL + SLACK)
    last = ours.quantile(0.99)
    report.add("down → notice, p50", f"{ours.median:.0f} ms", ours.spread("ms", 0))
    report.add(
        "down → notice, p99",
        f"{last:.0f} ms",
        ours.tail("ms", 0),
        f"≤ {limit:.0f} ms",
        last <= limit,
    )
    if peer is not None:
        what = "Prometheus, blackbox_exporter, Alertmanager"
        report.add(f"{what}, p50", f"{peer.median:.0f} ms", peer.spread("ms", 0))
        report.add(f"{what}, max", f"{peer.values[-1]:.0f} ms", peer.tail("ms", 0))
    report.notes.append(
        f"A `tcp` check each {INTERVAL:g} s with one failure, a webhook; the target falls at random moments. The"
        " peer has all of its timers at a second and waits for nothing before it tells."
    )


BENCHMARK = Benchmark("from down to the notice", run)
"""P10."""
