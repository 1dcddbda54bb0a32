"""More checks than one core can run: signals, HALT and the page answer all the same, what is left out is
counted and said, and nobody is called unknown for it.

A machine that others use gives sentinel a part of a core, and everything takes as many times as long:
so what has to come soon has to come before sentinel itself has used a second of the processor.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

SOON = 1.0
"""Seconds of the processor that sentinel may use before a word takes effect: the goal, at night."""
LATER = 3.0
"""The same where the machine does other things beside: nothing is lost, and nobody waits for long."""
PATIENCE = 300.0
_TICK = os.sysconf("SC_CLK_TCK")
PLATFORM = """
listen: 127.0.0.1:{port}
state: {folder}/state
resources:
  bus: {{redis: "{bus}"}}
components:
"""
RELOADED = "sentinel_config_last_reload_success_timestamp_seconds"
HALTED = "sentinel_actions_halted"


@dataclass
class Crowd:
    """A daemon on very many checks."""

    folder: Path
    count: int
    every: str
    bus: str
    target: int
    soon_is: float = LATER
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def write(self) -> None:
        """Seven of ten open a port, three share the connection to a Redis."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        checks = self.folder / "checks"
        checks.mkdir()
        names = "".join(f"  c{n}: {{}}\n" for n in range(-(-self.count // 10)))
        head = PLATFORM.format(port=self.port, folder=self.folder, bus=self.bus)
        (checks / "platform.yaml").write_text(head + names)
        (checks / "checks.yaml").write_text("".join(map(self._write_one, range(self.count))))

    def _write_one(self, n: int) -> str:
        kind = (
            "redis_server, resource: bus"
            if n % 10 > 6
            else f'tcp, address: "127.0.0.1:{self.target}"'
        )
        return f"- {{name: check-{n}, kind: {kind}, component: c{n // 10}, every: {self.every}}}\n"

    def start(self) -> None:
        """Until more is left out than is run."""
        argv = [sys.executable, "-m", "sentinel", "--config", str(self.folder / "checks"), "run"]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        self.wait(lambda: self.get("/-/ready") is not None)
        self.wait(self._is_overloaded)

    def _is_overloaded(self) -> bool:
        before = self.figures()
        time.sleep(0.5)
        after = self.figures()
        gains = [after.get(name, 0.0) - before.get(name, 0.0) for name in ("skipped", "ran")]
        return gains[0] > gains[1] > 0

    @property
    def pid(self) -> int:
        """The process."""
        assert self.process is not None
        return self.process.pid

    def figures(self) -> dict[str, float]:
        """Sums of what /metrics says; runs that were left out, and those that were not."""
        found = dict[str, float]()
        for name, labels, value in re.findall(
            r"(?m)^(\w+)(\{.*\})? (\S+)$", self.get("/metrics") or ""
        ):
            key = name
            if name == "sentinel_probe_runs_total":
                key = "skipped" if 'outcome="skipped"' in labels else "ran"
            elif name == "sentinel_check_status":
                key = labels.rpartition('status="')[2][:-2]
            found[key] = found.get(key, 0.0) + float(value)
        return found

    def get(self, path: str) -> str | None:
        """What the page says; None while it does not."""
        with (
            suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as seen,
        ):
            return str(seen.read().decode())
        return None

    def wait(self, true: Callable[[], bool]) -> None:
        """Until it holds."""
        begin = time.monotonic()
        while not true():
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() - begin < PATIENCE, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.01)

    def used(self) -> float:
        """Seconds of the processor so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    @contextmanager
    def soon(self, what: str, looking: float = 0.0) -> Iterator[None]:
        """What happens within costs little of the processor, beside what it costs to look for it."""
        before, begin = self.used(), time.monotonic()
        yield
        spent, passed = self.used() - before, time.monotonic() - begin
        text = f"{what}: {spent:.2f} s of CPU, {passed:.2f} s, {looking:.2f} to look"
        assert min(spent, passed) <= self.soon_is + looking, text

    def tell(self, word: signal.Signals, what: str, true: Callable[[], bool]) -> None:
        """A signal takes effect soon."""
        with self.soon(what):
            os.kill(self.pid, word)
            self.wait(true)

    def log(self) -> str:
        """Its lines."""
        return (self.folder / "log").read_text()

    def end(self) -> None:
        """It ends in order, and soon."""
        assert self.process is not None
        before, begin = self.used(), time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        spent = before
        while self.process.poll() is None:
            with suppress(OSError, IndexError):  # it ends in between
                spent = self.used()
            time.sleep(0.005)
        passed = time.monotonic() - begin
        assert self.process.returncode == 0, self.log()[-2000:]
        assert "end_cut_short" not in self.log()
        text = f"SIGTERM: {spent - before:.2f}, {passed:.2f} s"
        assert min(spent - before, passed) <= self.soon_is, text


@pytest.fixture
def target() -> Iterator[int]:
    """A port that takes every connection, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server:
        argv = [sys.executable, "-c", _TAKE, str(server.fileno())]
        with subprocess.Popen(argv, pass_fds=[server.fileno()]) as process:
            try:
                yield int(server.getsockname()[1])
            finally:
                process.kill()


_TAKE = """
import socket, sys
server = socket.socket(fileno=int(sys.argv[1]))
while True:
    server.accept()[0].close()
"""


@pytest.fixture
def crowd(tmp_path: Path, valkey, target) -> Iterator[Callable[[int, str], Crowd]]:
    """Makes daemons."""
    made: list[Crowd] = []

    def make(count: int, every: str) -> Crowd:
        folder = tmp_path / f"life-{len(made)}"
        folder.mkdir()
        one = Crowd(folder, count, every, valkey.url, target)
        one.write()
        made.append(one)
        return one

    yield make
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def live(one: Crowd, times: int) -> None:
    """Everything that somebody may want of it, so many times; and at last that it ends."""
    one.start()
    halt, platform = one.folder / "state" / "HALT", one.folder / "checks" / "platform.yaml"
    for n in range(times):
        one.tell(signal.SIGUSR1, "SIGUSR1", halt.exists)
        halt.unlink()
        one.wait(lambda: one.figures().get(HALTED) == 0)
        with self_shown(one):
            halt.touch()
        halt.unlink()
        with one.soon("/-/healthy"):
            assert one.get("/-/healthy") is not None
        with one.soon("the page"):
            assert "<title>" in (one.get("/") or "")
        platform.write_text(platform.read_text() + f"  more-{n}: {{}}\n")
        told = one.log().count('"event": "reloaded"')
        one.tell(signal.SIGHUP, "SIGHUP", lambda: one.log().count('"event": "reloaded"') > told)  # noqa: B023
    judge(one)
    one.end()


@contextmanager
def self_shown(one: Crowd) -> Iterator[None]:
    """The file HALT is seen soon after it was made."""
    before = one.used()
    one.figures()  # of ten thousand checks it takes most of a second, and a page serves for one
    with one.soon("HALT", 3 * (one.used() - before)):
        yield
        one.wait(lambda: one.figures().get(HALTED) == 1)


def judge(one: Crowd) -> None:
    """Nothing is lost silently, and nobody is blamed."""
    begin, before = time.monotonic(), one.figures()
    earliest = time.monotonic()
    time.sleep(2.0)
    latest, after = time.monotonic(), one.figures()
    ended = time.monotonic()
    every = float(one.every.removesuffix("ms")) / 1000
    ran, skipped = (after[name] - before[name] for name in ("ran", "skipped"))
    # A slot more or less of each check at both ends, and what is under way.
    assert one.count * ((latest - earliest) / every - 2) <= ran + skipped
    assert ran + skipped <= one.count * ((ended - begin) / every + 2)
    assert skipped > ran
    assert set(after) & {"unknown", "degraded", "down"} == set(), after
    assert "it does not keep up" in (one.get("/api/v1/status") or "")


def test_an_overloaded_daemon_obeys(crowd) -> None:
    """At twice what it can do: halts, reloads, answers and ends, and says that it does not keep up."""
    live(crowd(1000, "100ms"), 1)


@pytest.mark.nightly
def test_a_crowd_of_checks_obeys(crowd) -> None:
    """Ten thousand checks, a hundred times each; OBEY=20 for less."""
    times = int(os.environ.get("OBEY", "100"))
    for n in range(times):
        one = crowd(10_000, "1s")
        one.soon_is = SOON
        live(one, 1 if n else times)
