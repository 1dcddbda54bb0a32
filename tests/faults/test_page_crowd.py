"""Three hundred half-open connections to the page of a real daemon: it answers, the checks go on,
the log stays small, SIGTERM ends it.
"""

from __future__ import annotations

import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKS, EVERY = 20, 0.5
FEW_DESCRIPTORS = 256
SECONDS = 2.5
_RUNS = re.compile(r'^sentinel_probe_runs_total\{kind="[^"]+",outcome="(\w+)"\} (\S+)', re.M)


class Target:
    """A port that takes connections and closes them."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                self._socket.accept()[0].close()
        except OSError:
            return

    def close(self) -> None:
        self._socket.close()


class Sentinel:
    """A daemon as a process of its own."""

    def __init__(self, folder: Path, target: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        checks = "".join(
            f"  - {{name: t{n}, kind: tcp, component: c, address: 127.0.0.1:{target},"
            f" every: {EVERY}s}}\n"
            for n in range(CHECKS)
        )
        (folder / "sentinel.yaml").write_text(
            f"listen: 127.0.0.1:{self.port}\nstate: {folder}/state\n"
            f"components: {{c: {{}}}}\nchecks:\n{checks}"
        )
        self.log = folder / "log"
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "sentinel", "--config", str(folder), "run"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def get(self, path: str, seconds: float = 2.0) -> str:
        address = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(address, timeout=seconds) as answer:
            return str(answer.read().decode())

    def wait_until_ready(self) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                self.get("/-/ready")
            except OSError:
                time.sleep(0.1)
            else:
                return
            if self.process.poll() is not None:
                break
        pytest.fail(self.log.read_text())

    def runs(self) -> dict[str, float]:
        """Runs of all checks by outcome."""
        found: dict[str, float] = {}
        for outcome, value in _RUNS.findall(self.get("/metrics")):
            found[outcome] = found.get(outcome, 0.0) + float(value)
        return found

    def allow_descriptors(self, soft: int) -> None:
        hard = resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (soft, hard))

    def count_descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[Sentinel]:
    """A daemon with twenty checks that are fine."""
    target = Target()
    daemon = Sentinel(tmp_path, target.port)
    try:
        daemon.wait_until_ready()
        yield daemon
    finally:
        daemon.process.kill()
        daemon.process.wait()
        target.close()


def crowd_in(port: int) -> list[socket.socket]:
    """302 connections, half of them silent, half with half a request."""
    crowd = []
    for n in range(302):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
        crowd.append(one)
        if n % 3 == 0:
            time.sleep(0.005)
    for one in crowd[::2]:
        try:
            one.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1")
        except OSError:
            continue
    return crowd


def test_half_open_crowd(sentinel: Sentinel) -> None:
    """With 256 descriptors: every request is answered within a second, every check runs in time
    and is fine, the page leaves most descriptors to them; none left at all is said once, and is
    over when it is over; SIGTERM ends it within 5 s with the crowd at the door.
    """
    sentinel.allow_descriptors(FEW_DESCRIPTORS)
    crowd = crowd_in(sentinel.port)
    before, began = sentinel.runs(), time.monotonic()
    slowest, most = 0.0, 0
    while time.monotonic() - began < SECONDS:
        asked = time.monotonic()
        assert "Open incidents" in sentinel.get("/")
        slowest = max(slowest, time.monotonic() - asked)
        most = max(most, sentinel.count_descriptors())
        time.sleep(0.2)
    after, lasted = sentinel.runs(), time.monotonic() - began
    due = CHECKS * lasted / EVERY
    assert after["ok"] - before["ok"] >= 0.8 * due - CHECKS, (before, after)
    assert {name: count - before.get(name, 0.0) for name, count in after.items()} == {
        "ok": after["ok"] - before["ok"],
        "error": 0,
        "timeout": 0,
        "skipped": 0,
    }
    assert slowest < 1.0
    assert most < FEW_DESCRIPTORS * 0.6

    sentinel.allow_descriptors(sentinel.count_descriptors())
    time.sleep(0.3)
    sentinel.allow_descriptors(FEW_DESCRIPTORS)
    assert sentinel.get("/-/healthy", 5.0) == "ok\n"
    crowd += crowd_in(sentinel.port)
    sentinel.process.send_signal(signal.SIGTERM)
    assert sentinel.process.wait(5.0) == 0
    for one in crowd:
        one.close()
    told = sentinel.log.read_text()
    assert "Traceback" not in told
    assert len(told) < 8000, told
    assert 1 <= told.count("page_refused") <= 3
