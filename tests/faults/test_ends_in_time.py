"""SIGTERM ends sentinel within 5 s, SIGUSR1 halts it at once, and SIGHUP is never lost, whatever
state it is in. All the states at once, each in a real process of its own: most of them wait.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sentinel.clock import read_moment_now
from sentinel.core.moment import write_moment
from sentinel.core.order import Order
from sentinel.store.sqlite import SqliteStore
from tests.faults import lives

CONFIGURATION = """
listen: 127.0.0.1:{port}
state: {folder}/state
standstill: 1s
actions: {{enabled: true, start_grace: 0s}}
resources:
  bus: {{redis: "redis://127.0.0.1:{hole}"}}
  db: {{postgres: "postgresql://127.0.0.1:{hole}/x"}}
components:
  elsewhere: {{}}
  slow: {{driver: command, commands: {{restart: [/bin/sleep, "{seconds}"]}}, deadline: 60s}}
checks:
- {{name: port, kind: tcp, component: elsewhere, address: "{address}", every: 1s, timeout: 60s}}
- {{name: slow, kind: tcp, component: slow, address: "127.0.0.1:9", every: 1h}}
"""
BLACK_HOLE = """
- {name: redis, kind: redis_server, component: elsewhere, resource: bus, every: 1s, timeout: 60s}
- {name: postgres, kind: postgres, component: elsewhere, resource: db, every: 1s, timeout: 60s}
"""
LATEST = 5.0
PATIENCE = 60.0
"""Seconds until a state is reached, at the most: a busy machine takes its time."""


def free_port() -> int:
    """Nobody listens there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Life:
    """A daemon in a state, and what became of it."""

    state: str
    folder: Path
    port: int
    hole: int
    pid: int = 0
    pidfd: int = -1
    ended_after: float = -1.0
    halted_after: float = -1.0
    facts: dict[str, Any] = field(default_factory=dict)
    stack: ExitStack = field(default_factory=ExitStack)
    manager: socket.socket | None = None
    heard: list[str] = field(default_factory=list)

    def write(self, extra: str = "", seconds: int = 45) -> None:
        """Its configuration."""
        address = "name.invalid:9" if self.state == "name servers" else f"127.0.0.1:{free_port()}"
        values = {"port": self.port, "hole": self.hole, "seconds": seconds, "address": address}
        text = CONFIGURATION.format(folder=self.folder, **values)
        (self.folder / "checks" / "sentinel.yaml").write_text(text + extra)

    def has(self, name: str) -> bool:
        """Whether a mark is there."""
        return (self.folder / name).exists()

    def signal(self, number: int) -> None:
        """To this process and no other."""
        signal.pidfd_send_signal(self.pidfd, number)

    def get(self, path: str) -> str:
        """Of the page."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as seen:
                return str(seen.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def listen(self, address: str) -> None:
        """As systemd does."""
        self.manager = self.stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.manager.bind(address.replace("@", "\0", 1) if address[0] == "@" else address)
        self.manager.setblocking(False)
        (self.folder / "notify").write_text(address)

    def hear(self) -> list[str]:
        """Every line that was told until now."""
        with suppress(BlockingIOError):
            while self.manager is not None:
                self.heard += self.manager.recv(4096).decode().splitlines()
        return self.heard

    def log(self) -> list[dict[str, object]]:
        """Its lines."""
        lines = (self.folder / "log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait_for(self, true: Callable[[], bool], what: str) -> None:
        """Until it holds. When it never does, or the daemon ends before: its log is told."""
        end = time.monotonic() + PATIENCE
        while not true():
            over = self.is_over(0)
            if time.monotonic() > end or (over and not true()):
                log = self.folder / "log"
                told = log.read_text()[-3000:] if log.exists() else "no log"
                why = "it is over" if over else f"not within {PATIENCE:.0f} s"
                raise AssertionError(f"{self.state}: {what}: {why}\n{told}")
            time.sleep(0.02)

    def logged(self, event: str) -> list[dict[str, object]]:
        """Its lines of one kind."""
        return [line for line in self.log() if line["event"] == event]

    def is_over(self, seconds: float) -> bool:
        """Whether it ends within that."""
        return bool(select.select([self.pidfd], [], [], seconds)[0])

    def halt_and_end(self) -> None:
        """The kill switch, then the end; how long each took."""
        began = time.monotonic()
        self.signal(signal.SIGUSR1)
        if self.state not in UNBUILT:
            while not self.has("state/HALT") and time.monotonic() - began < 2:
                time.sleep(0.02)
            if self.has("state/HALT"):
                self.halted_after = time.monotonic() - began
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        if self.is_over(15):
            self.ended_after = time.monotonic() - began
        else:
            self.signal(signal.SIGKILL)


def enter_reload(life: Life) -> None:
    """A restart takes 45 s, and its component is driven otherwise now."""
    order = Order(
        "restart",
        "restart/slow/1",
        "slow",
        {"reason": "test", "given": write_moment(read_moment_now())},
    )
    store = SqliteStore(life.folder / "state")
    store.add_order(order, datetime.now(UTC))
    life.wait_for(lambda: bool(store.attempts()), "no restart")
    store.close()
    life.write(seconds=44)
    life.signal(signal.SIGHUP)
    time.sleep(0.3)
    life.facts["reloaded"] = bool(life.logged("reloaded"))


def enter_fifo(life: Life) -> None:
    """A secret's file is a pipe that nobody writes into: refused, and the next reload is served."""
    os.mkfifo(life.folder / "checks" / "secret")
    life.write("- {name: x, kind: tcp, component: elsewhere, address: '127.0.0.1:9'}\n")
    text = (life.folder / "checks" / "sentinel.yaml").read_text()
    broken = text.replace('redis: "', 'password_file: secret, redis: "')
    (life.folder / "checks" / "sentinel.yaml").write_text(broken)
    life.signal(signal.SIGHUP)
    life.wait_for(lambda: bool(life.logged("reload_refused")), "not refused")
    (life.folder / "checks" / "sentinel.yaml").write_text(text)
    for _ in range(20):  # one of these at least is served after the last
        life.signal(signal.SIGHUP)
    life.wait_for(lambda: bool(life.logged("reloaded")), "not reloaded")
    life.hear()


def enter_full_pipe(life: Life) -> None:
    """Nobody ever reads a line: checks and reloads go on, and it is said where people look."""
    life.write("- {name: newcomer, kind: tcp, component: elsewhere, address: '127.0.0.1:9'}\n")
    life.signal(signal.SIGHUP)
    life.wait_for(lambda: "newcomer" in life.get("/api/v1/status"), "no reload")
    life.wait_for(lambda: "nobody has taken a line" in life.get("/api/v1/status"), "not said")
    life.facts["page"] = life.get("/")


def enter_full_disk(life: Life) -> None:
    """Not a byte more of any file, the log's among them: only what needs the disk does not work."""
    hard = resource.prlimit(life.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(life.pid, resource.RLIMIT_FSIZE, (0, hard))
    life.wait_for(lambda: "can't be written" in life.get("/-/ready"), "the disk is not full")
    life.wait_for(lambda: read_runs(life) > 0, "no check runs")
    before = read_runs(life)
    life.wait_for(lambda: read_runs(life) > before, "checks do not go on")
    life.facts["checks go on"] = True


def enter_half_open(life: Life) -> None:
    """Requests that never end."""
    for _ in range(300):
        channel = life.stack.enter_context(socket.socket())
        channel.settimeout(1)
        with suppress(OSError):
            channel.connect(("127.0.0.1", life.port))
            channel.send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")


def enter_black_hole(life: Life) -> None:
    """A server that takes no connection, and none of its addresses says no."""
    life.write(BLACK_HOLE)
    life.signal(signal.SIGHUP)
    life.wait_for(lambda: bool(life.logged("reloaded")), "not reloaded")
    time.sleep(1.2)  # the first runs are spread over a second


def enter_reached(life: Life) -> None:
    """The child has said so."""
    life.wait_for(lambda: life.has("reached"), "never reached")


def enter_blocking_plugin(life: Life) -> None:
    """Its stack is in the log though the loop stands still; systemd is told nothing more."""
    life.wait_for(lambda: "WATCHDOG=1" in life.hear(), "no sign of life")
    (life.folder / "block").touch()
    enter_reached(life)
    life.wait_for(lambda: bool(life.logged("loop_stands_still")), "not noticed")
    life.facts["before"] = life.hear().count("WATCHDOG=1")
    time.sleep(1.5)
    life.facts["after"] = life.hear().count("WATCHDOG=1")


def enter_early(life: Life) -> None:
    """Before anything is imported that could serve them."""
    enter_reached(life)
    life.signal(signal.SIGHUP)
    life.signal(signal.SIGUSR1)
    (life.folder / "go").touch()
    life.wait_for(lambda: life.has("state/HALT"), "the kill switch was lost")
    life.wait_for(lambda: bool(life.logged("reloaded")), "a reload was lost")


STATES: dict[str, Callable[[Life], None]] = {
    "reload waits": enter_reload,
    "fifo as a secret": enter_fifo,
    "full pipe": enter_full_pipe,
    "full disk": enter_full_disk,
    "half-open": enter_half_open,
    "black hole": enter_black_hole,
    "blocking plugin": enter_blocking_plugin,
    "name servers": enter_reached,
    "blocked disk": enter_reached,
    "report": enter_reached,
    "start in a thread": enter_reached,
    "start in the loop": enter_reached,
    "early": enter_early,
}
CUT_SHORT = {"blocking plugin", "start in the loop", "blocked disk"}
"""These can't end in order, and say so."""
UNBUILT = {"start in a thread", "start in the loop"}
UNSTARTED = UNBUILT | {"early"}


def prepare(folder: Path, state: str, hole: int) -> Life:
    """A folder for one life."""
    mine = folder / state.replace(" ", "-")
    (mine / "checks").mkdir(parents=True)
    life = Life(state, mine, free_port(), hole)
    life.write()
    if state == "blocking plugin":
        life.listen(f"@sentinel-{os.getpid()}-{life.port}")
    if state == "fifo as a secret":
        life.listen(str(mine / "manager"))
    if state == "full pipe":
        os.mkfifo(mine / "stderr")
        pipe = os.open(mine / "stderr", os.O_RDWR | os.O_NONBLOCK)
        life.stack.callback(os.close, pipe)
        with suppress(BlockingIOError):
            while os.write(pipe, b"x" * 4096):
                pass
        os.set_blocking(pipe, True)
    return life


def live_through(life: Life) -> Life:
    """Into its state, and out of it."""
    if life.state not in UNSTARTED:
        life.wait_for(lambda: life.has("started"), "not started")
    STATES[life.state](life)
    life.halt_and_end()
    return life


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Life | BaseException]:
    """Every state, all at once."""
    command = [sys.executable, lives.__file__]
    forker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = [socket.socket() for _ in range(4)]
    for channel in waiting:
        channel.setblocking(False)
        channel.connect_ex(full.getsockname())
    folder, found = tmp_path_factory.mktemp("lives"), dict[str, Life | BaseException]()
    with forker, full, ExitStack() as stack, ThreadPoolExecutor(len(STATES)) as pool:
        for channel in waiting:
            stack.enter_context(channel)
        running = {}
        for state in STATES:
            life = prepare(folder, state, full.getsockname()[1])
            stack.enter_context(life.stack)
            forker.stdin.write(json.dumps({"folder": str(life.folder), "state": state}) + "\n")
            forker.stdin.flush()
            life.pid = int(forker.stdout.readline())
            life.pidfd = os.pidfd_open(life.pid)
            stack.callback(os.close, life.pidfd)
            running[state] = pool.submit(live_through, life)
        for state, future in running.items():
            found[state] = future.exception() or future.result()
        for life in found.values():
            if isinstance(life, Life) and life.manager is not None:
                life.hear()
                life.manager = None
        forker.stdin.close()
    return found


def recall(lived: dict[str, Life | BaseException], state: str) -> Life:
    """What became of it; raises what went wrong."""
    life = lived[state]
    if isinstance(life, BaseException):
        raise life
    return life


@pytest.mark.parametrize("state", STATES)
def test_the_end_comes_in_time(lived: dict[str, Life | BaseException], state: str) -> None:
    """Within 5 s, and in order wherever that can be; halted within a second."""
    life = recall(lived, state)
    assert 0 <= life.ended_after < LATEST
    if state not in UNBUILT | {"full disk"}:
        assert 0 <= life.halted_after < 1
    if state != "full pipe":
        text = (life.folder / "log").read_text()
        assert ("end_cut_short" in text or "end_not_in_order" in text) == (state in CUT_SHORT)
        assert "part_failed" not in text


def test_what_still_works(lived: dict[str, Life | BaseException]) -> None:
    """A restart under way holds up no signal. With a pipe that nobody reads checks and reloads go
    on, and people are told. With a full disk checks go on.
    """
    assert recall(lived, "reload waits").facts["reloaded"] is False
    page = recall(lived, "full pipe").facts["page"]
    assert "sentinel itself: nobody has taken a line of its log" in page
    assert recall(lived, "full disk").facts["checks go on"]


def read_runs(life: Life) -> float:
    """How often checks ran: one of them each second, the other once an hour."""
    name = 'sentinel_probe_runs_total{kind="tcp",outcome="ok"}'
    lines = [line for line in life.get("/metrics").splitlines() if line.startswith(name)]
    return sum(float(line.split()[-1]) for line in lines)


def test_a_loop_that_stands_still(lived: dict[str, Life | BaseException]) -> None:
    """D2, D6: what blocks is named, without the loop, and systemd is told nothing more."""
    life = recall(lived, "blocking plugin")
    (told,) = life.logged("loop_stands_still")
    assert "in wait_for_a_plugin" in str(told["stacks"])
    assert life.heard[0] == "READY=1"
    assert life.facts["before"] == life.facts["after"]


def test_what_systemd_is_told(lived: dict[str, Life | BaseException]) -> None:
    """In this order, on a socket with a path."""
    heard = [each for each in recall(lived, "fifo as a secret").hear() if "_USEC" not in each]
    words = [each for each in heard if each not in {"WATCHDOG=1"} and "STATUS" not in each]
    assert words[:3] == ["READY=1", "RELOADING=1", "READY=1"]
    assert words[-1] == "STOPPING=1"
    assert any(each.startswith("STATUS=the configuration was refused") for each in heard)
