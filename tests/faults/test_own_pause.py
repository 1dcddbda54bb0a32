"""A paused or blocked sentinel invents no outage: what it did not see is unknown, and the gap is
written down.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sentinel.core.fault import Status
from sentinel.core.model import Check, Finding, Quality
from sentinel.engine.pause import PauseGuard
from sentinel.engine.runner import Runner
from sentinel.errors import StateError, TargetUnreachable
from sentinel.metrics import Metrics
from sentinel.probes import Kind, Options
from sentinel.store.sqlite import SqliteStore

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nPONG"
CHECKS = 20


class SlowServer(socketserver.ThreadingTCPServer):
    """Answers everything late: PONG by itself, or what `upstream` says."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, seconds: float, upstream: int | None = None) -> None:
        self.seconds, self.upstream = seconds, upstream
        super().__init__(("127.0.0.1", 0), SlowAnswer)


class SlowAnswer(socketserver.BaseRequestHandler):
    """One connection."""

    server: SlowServer

    def handle(self) -> None:
        """Read, wait, answer."""
        with suppress(OSError):
            if self.server.upstream is None:
                self.request.recv(65536)
                time.sleep(self.server.seconds)
                self.request.sendall(ANSWER)
            else:
                self._relay(self.server.upstream)

    def _relay(self, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as target:
            while data := self.request.recv(65536):
                target.sendall(data)
                reply = target.recv(65536)
                time.sleep(self.server.seconds)
                self.request.sendall(reply)


@contextmanager
def slow_server(seconds: float, upstream: int | None = None) -> Iterator[int]:
    """A server on loopback; its port."""
    with SlowServer(seconds, upstream) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_configuration(folder: Path, port: int, server: int, redis: int) -> None:
    """Twenty http, twenty tcp and a redis check, hard at the first failure; only their own
    deadlines end them.
    """
    common = "component: target, every: 1s, failures: 1, of: 1, recoveries: 1, recovery_time: 0s, timeout: 60s"
    tcp = f'address: "127.0.0.1:{server}", send: "PING", expect: PONG'
    lines = [f"- {{name: http-{i}, kind: http, {common}, deadline: 2s}}" for i in range(CHECKS)]
    lines += [
        f"- {{name: tcp-{i}, kind: tcp, {common}, {tcp}, deadline: 2s}}" for i in range(CHECKS)
    ]
    lines += [f"- {{name: redis, kind: redis_server, {common}}}"]
    (folder / "checks.yaml").write_text("\n".join(lines))
    (folder / "sentinel.yaml").write_text(
        f"listen: 127.0.0.1:{port}\nstate: {folder}/state\ncomponents: {{target: {{}}}}\n"
        f'resources:\n  bus: {{redis: "redis://127.0.0.1:{redis}"}}\n  api: {{http: "http://127.0.0.1:{server}"}}\n'
    )


@contextmanager
def daemon(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real `sentinel run`."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SENTINEL_")
    }
    log = (folder / "sentinel.log").open("wb")
    command = [sys.executable, "-m", "sentinel", "--config", str(folder), "run"]
    with log, subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()


def metric(port: int, name: str) -> float:
    """One figure without labels from `/metrics`."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def wait_for(condition, log: Path) -> None:
    """Until the condition holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)


def all_up(state: Path) -> bool:
    """Every check has been seen up."""
    try:
        store = SqliteStore(state, writable=False)
    except StateError:  # it has not begun yet
        return False
    try:
        views = store.checks()
        return len(views) == 2 * CHECKS + 1 and all(
            view.status == view.soft == "up" for view in views
        )
    finally:
        store.close()


def pause_and_look(folder: Path, redis: int, seconds: float) -> None:
    """SIGSTOP a sentinel with slow checks in flight; the assertions of D1."""
    port, state = free_port(), folder / "state"
    with slow_server(0.6) as server, slow_server(0.05, upstream=redis) as delayed_redis:
        write_configuration(folder, port, server, delayed_redis)
        with daemon(folder) as process:
            wait_for(lambda: all_up(state), folder / "sentinel.log")
            process.send_signal(signal.SIGSTOP)
            stopped = datetime.now(UTC)
            time.sleep(seconds)
            process.send_signal(signal.SIGCONT)
            resumed = datetime.now(UTC)
            time.sleep(3)
            wait_for(lambda: all_up(state), folder / "sentinel.log")
            unobserved = metric(port, "sentinel_unobserved_seconds_total")
    store = SqliteStore(state, writable=False)
    transitions = store.transitions(since=stopped - timedelta(minutes=5))
    gaps, incidents = store.gaps(since=stopped), store.incidents()
    store.close()
    assert [(t.subject, t.reason) for t in transitions if t.after is Status.DOWN] == []
    assert [t.subject for t in transitions if t.at >= stopped and t.after is Status.DEGRADED] == []
    assert incidents == []
    slack = timedelta(seconds=0.5)
    assert any(gap.began <= stopped + slack and gap.ended >= resumed - slack for gap in gaps), gaps
    assert unobserved >= seconds - 0.5


def test_a_paused_sentinel_invents_no_outage(tmp_path, valkey):
    """4 s of SIGSTOP with 41 slow checks in flight, longer than every timeout: no down, and the gap
    is recorded.
    """
    pause_and_look(tmp_path, valkey.port, 4.0)


@pytest.mark.nightly
@pytest.mark.parametrize("seconds", [2.0, 10.0, 30.0])
def test_longer_and_shorter_pauses(tmp_path, valkey, seconds):
    """The same for other lengths."""
    pause_and_look(tmp_path, valkey.port, seconds)


async def test_a_blocking_call_in_the_loop_blames_nobody():
    """One check that blocks the loop: its neighbours, timed out by it, are unknown and blind, not
    down.
    """
    metrics = Metrics()
    guard = PauseGuard(time.monotonic, lambda: datetime.now(UTC), metrics)
    runner = Runner(
        {}, guard, metrics, lambda: datetime.now(UTC), time.monotonic, lambda _name: None
    )
    beat = asyncio.create_task(guard.run())

    async def patient(_options, _context):
        try:
            async with asyncio.timeout(0.3):
                await asyncio.sleep(0.2)
        except TimeoutError as error:
            raise TargetUnreachable("timed out") from error
        return Finding(Status.UP, "fine")

    async def blocking(_options, _context):
        await asyncio.sleep(0.1)
        time.sleep(1.0)
        return Finding(Status.UP, "fine")

    def check(i, kind):
        return Check(f"{kind}-{i}", kind, "target", 1.0, 5.0, Options())

    kinds = {"patient": patient, "blocking": blocking}
    kinds = {name: Kind(name, "", Options, run, ()) for name, run in kinds.items()}
    wanted = [check(i, "patient") for i in range(50)] + [check(0, "blocking")]
    results = await asyncio.gather(*(runner.run(each, kinds[each.kind]) for each in wanted))
    beat.cancel()
    assert Status.DOWN not in [result.finding.status for result in results]
    blind = [result for result in results if result.quality is Quality.BLIND]
    assert blind, "nobody was disturbed: the test shows nothing"
    assert "sentinel itself stood still" in blind[0].finding.detail
    assert "timed out" in blind[0].finding.detail
