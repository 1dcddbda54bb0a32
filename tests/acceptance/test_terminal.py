"""`sentinel demo` in a terminal: however it is ended, it ends in order, and nothing of it is left
behind.
"""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from sentinel.demo.servers import free_port

PAGE = b"component"
STARTING = b"starting Valkey"


class Terminal:
    """A demo that leads the session of a terminal of its own, or whose parent `sh` does."""

    def __init__(self, place: Path, *, leader: str = "") -> None:
        argv = [sys.executable, "-m", "sentinel", "demo", "--folder", str(place / "runs")]
        argv += ["--listen", f"127.0.0.1:{free_port()}"]
        if leader:
            argv = ["sh", "-c", f'{leader}; "$@"; exit $?', "sh", *argv]
        self.seen = b""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            for signum in (signal.SIGINT, signal.SIGHUP):  # whoever runs the tests may ignore them
                signal.signal(signum, signal.SIG_DFL)
            os.execve(
                argv[0] if not leader else "/bin/sh",
                argv,
                {**os.environ, "TMPDIR": str(place), "TERM": "xterm"},
            )

    def read_until(self, text: bytes, seconds: float = 30) -> None:
        """Let it write, until it wrote this."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen[-2000:]
            self.read(0.1)

    def read(self, seconds: float) -> None:
        """What it writes within this time."""
        if select.select([self.master], [], [], seconds)[0]:
            with suppress(OSError):
                self.seen += os.read(self.master, 65_536)

    def press_ctrl_c(self) -> None:
        """To every process of the foreground, as a terminal does it."""
        os.write(self.master, b"\x03")

    def end(self, seconds: float = 30) -> int:
        """Wait for its end; the exit code."""
        deadline = time.monotonic() + seconds
        while True:
            with suppress(OSError, ValueError):
                self.read(0.1)
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < deadline, self.seen[-2000:]


def processes_of(place: Path) -> list[psutil.Process]:
    """Whose arguments or environment name this folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if str(place)
        in " ".join([*(process.info["cmdline"] or []), *(process.info["environ"] or {}).values()])
    ]


def left_behind(place: Path) -> list[object]:
    """Processes and folders of its runs."""
    return [*processes_of(place), *place.glob("sentinel-demo-*")]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for everything, which `nobody` reaches: PostgreSQL does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="sentinel-terminal-"))
    folder.chmod(0o755)
    yield folder
    for process in processes_of(folder):
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)


def test_ctrl_c_ends_in_order(place: Path) -> None:
    """The signal goes to every process of the terminal: the servers outlive the daemon all the
    same.
    """
    terminal = Terminal(place)
    terminal.read_until(PAGE)
    terminal.press_ctrl_c()
    assert terminal.end() == 0
    assert b"Traceback" not in terminal.seen
    assert b"everything is stopped" in terminal.seen
    assert left_behind(place) == []


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGINT] * 5, [signal.SIGTERM], [signal.SIGHUP]],
    ids=["Ctrl-C", "TERM", "HUP"],
)
def test_signals_during_start(place: Path, signals: list[signal.Signals]) -> None:
    """However early and however often: what was begun is stopped and deleted."""
    terminal = Terminal(place)
    terminal.read_until(STARTING)
    for signum in signals:
        os.kill(terminal.pid, signum)
        time.sleep(0.15)
    assert terminal.end() == 0
    assert b"Traceback" not in terminal.seen
    assert left_behind(place) == []


def test_terminal_that_goes_away_unannounced(place: Path) -> None:
    """Make leads the session of `ssh -t host make run`: it gets the hang-up, and tells nobody."""
    terminal = Terminal(place, leader="trap : HUP")
    terminal.read_until(PAGE)
    os.close(terminal.master)
    terminal.end()
    assert left_behind(place) == []


def test_next_run_tidies_up_after_one_that_was_killed(place: Path) -> None:
    """SIGKILL can't be answered: the processes end by themselves, the folder goes with the next
    run.
    """
    killed = Terminal(place)
    killed.read_until(PAGE)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.end() == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while processes_of(place):
        assert time.monotonic() < deadline, processes_of(place)
        time.sleep(0.1)
    running = Terminal(place)
    running.read_until(PAGE)
    running.press_ctrl_c()
    assert running.end() == 0
    assert left_behind(place) == []
