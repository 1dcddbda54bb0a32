"""Three hundred half-open connections to the page of a real daemon, and more requests than it can
answer: it answers, the checks go on, the log stays small, SIGTERM ends it.
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
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

CHECKS, EVERY = 20, 0.5
RUNS = 5 * CHECKS
FLOODED_RUNS = 2 * CHECKS
FEW_DESCRIPTORS = 256
SECONDS = 30.0
"""In which a busy machine, too, runs every check a few times."""
AT_ONCE = 4.0
"""Seconds for an answer on a busy machine; of the silent nobody has left for want of words yet."""
_RUNS = re.compile(r'^sentinel_probe_runs_total\{kind="tcp",outcome="(\w+)"\} (\S+)', re.M)


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

    def get(self, path: str) -> str:
        address = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(address, timeout=AT_ONCE) as answer:
            return str(answer.read().decode())

    def get_soon(self, path: str) -> str:
        """The answer to who asks again when it is told that its address is too many just now: it
        came with more than an address may have in, all within a tenth of a second.
        """
        end = time.monotonic() + AT_ONCE
        while True:
            try:
                return self.get(path)
            except urllib.error.HTTPError as error:
                told = error.read().decode()
                if "too many visitors" not in told or time.monotonic() > end:
                    pytest.fail(f"{path}: {error.status} {told}")
                time.sleep(0.1)

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
        found = _RUNS.findall(self.get_soon("/metrics"))
        return {outcome: float(value) for outcome, value in found}

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
    """With 256 descriptors: whoever asks is answered soon, all checks go on and are fine, the
    page leaves most descriptors to them; none left at all is said once, and is over when it is
    over; SIGTERM ends it within 5 s with the crowd at the door.
    """
    sentinel.allow_descriptors(FEW_DESCRIPTORS)
    crowd = crowd_in(sentinel.port)
    before = after = sentinel.runs()
    end, most = time.monotonic() + SECONDS, 0
    while after["ok"] - before["ok"] < RUNS:
        assert time.monotonic() < end, (before, after)
        assert "Open incidents" in sentinel.get_soon("/")
        most = max(most, sentinel.count_descriptors())
        time.sleep(0.2)
        after = sentinel.runs()
    failed = {"error", "timeout"}
    assert failed < after.keys()
    assert {outcome: after[outcome] - before[outcome] for outcome in failed} == dict.fromkeys(
        failed, 0.0
    )
    assert most < FEW_DESCRIPTORS * 0.6

    sentinel.allow_descriptors(sentinel.count_descriptors())
    time.sleep(0.3)
    sentinel.allow_descriptors(FEW_DESCRIPTORS)
    assert sentinel.get_soon("/-/healthy") == "ok\n"
    crowd += crowd_in(sentinel.port)
    sentinel.process.send_signal(signal.SIGTERM)
    assert sentinel.process.wait(5.0) == 0
    for one in crowd:
        one.close()
    told = sentinel.log.read_text()
    assert "Traceback" not in told
    assert len(told) < 8000, told
    assert 1 <= told.count("page_refused") <= 3


class Flood:
    """Asks as fast as the page takes it, from another address of this machine, and reads nothing
    that it need not.
    """

    def __init__(self, port: int, lines: int = 8, batch: int = 150) -> None:
        self._port, self._lines = port, lines
        one = f"GET /-/healthy HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
        self._asked = one.encode() * batch
        self._one = len(one)
        self.bytes = self.answers = 0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def requests(self) -> int:
        """What was sent so far."""
        return self.bytes // self._one

    def close(self) -> None:
        self._ends.set()
        self._thread.join(10)

    def _run(self) -> None:
        open_ones: list[socket.socket] = []
        while not self._ends.is_set():
            while len(open_ones) < self._lines:
                open_ones.append(self._connect())
            open_ones = [one for one in open_ones if self._turn(one)]
            time.sleep(0.001)
        for one in open_ones:
            one.close()

    def _connect(self) -> socket.socket:
        one = socket.create_connection(("127.0.0.1", self._port), source_address=("127.0.0.2", 0))
        one.setblocking(False)
        return one

    def _turn(self, one: socket.socket) -> bool:
        """Send what is taken, take what has come; False when the page has cut it."""
        try:
            with suppress(BlockingIOError):
                self.bytes += one.send(self._asked)
            with suppress(BlockingIOError):
                came = one.recv(1 << 16)
                self.answers += came.count(b"HTTP/1.1 200")
                if not came:
                    one.close()
                return bool(came)
        except OSError:
            one.close()
            return False
        return True


def crawl(port: int) -> list[socket.socket]:
    """Forty that send a request byte by byte, twenty that take none of their answer."""
    slow = []
    for n in range(60):
        one = socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.3", 0))
        one.setblocking(False)
        asked = f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        with suppress(OSError):
            one.send(asked if n % 3 == 0 else asked[:9])
        slow.append(one)
    return slow


def test_ten_thousand_requests_a_second(sentinel: Sentinel) -> None:
    """G15: while far more is asked than can be answered, at 10,000 requests for each second that the
    checks need, and slow clients hold on to the page: every check goes on and is fine, and who asks
    in between is answered.
    """
    before = after = sentinel.runs()
    slow, flood = crawl(sentinel.port), Flood(sentinel.port)
    end = time.monotonic() + SECONDS
    try:
        runs, due = 0.0, 0
        while runs < FLOODED_RUNS or flood.requests < due:
            assert time.monotonic() < end, (runs, flood.requests, flood.answers)
            for one in slow:
                with suppress(OSError):
                    one.send(b"X")
            time.sleep(0.1)
            after = sentinel.runs()
            runs = after.get("ok", 0.0) - before.get("ok", 0.0)
            due = int(runs / (CHECKS / EVERY) * 10_000)
        assert "Open incidents" in sentinel.get_soon("/")
    finally:
        flood.close()
        for one in slow:
            one.close()
    assert flood.answers > 100, "it is a flood of requests, not of noise"
    failed = {"error", "timeout"}
    assert {each: after.get(each, 0.0) - before.get(each, 0.0) for each in failed} == dict.fromkeys(
        failed, 0.0
    )
    assert "Traceback" not in sentinel.log.read_text()
