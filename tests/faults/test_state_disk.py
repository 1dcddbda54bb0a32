"""E1, E2: sentinel starts on a disk that takes nothing. Checks run and people are told, nothing is
done; with room again what was seen meanwhile is written, and actions go on by themselves.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CONFIGURATION = """
listen: 127.0.0.1:{port}
state: {disk}/state
actions: {{enabled: true, start_grace: 0s}}
components:
  worker:
    driver: process
    command: [sleep, "600"]
    restart: {{startup_grace: 1s, backoff: {{first: 0s, initial: 0s, max: 0s}}}}
checks:
- {{name: port, kind: tcp, component: worker, address: "127.0.0.1:{port}", every: 1s}}
"""
NAMESPACE = ["unshare", "-r", "-m"]
HOLD = 'mount -t tmpfs -o size="$1",nr_inodes=200 tmpfs "$2" && echo up && exec sleep 600'


def _permitted() -> bool:
    return (
        shutil.which("unshare") is not None
        and shutil.which("nsenter") is not None
        and subprocess.run([*NAMESPACE, "true"], check=False).returncode == 0
    )


pytestmark = pytest.mark.skipif(not _permitted(), reason="no mount namespaces here")


@dataclass
class Disk:
    """A small disk of its own, and the sentinel on it."""

    folder: Path
    holder: subprocess.Popen[bytes]
    port: int
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def mount(self) -> Path:
        """As those within see it."""
        return self.folder / "disk"

    @property
    def state(self) -> Path:
        """As it is seen from here."""
        return Path(f"/proc/{self.holder.pid}/root{self.mount}/state")

    def within(self, *command: str) -> list[str]:
        """A command on the disk."""
        return ["nsenter", "-t", str(self.holder.pid), "-U", "-m", "--", *command]

    def sentinel(self, *words: str) -> list[str]:
        """A command of sentinel."""
        checks = str(self.folder / "checks")
        return self.within(sys.executable, "-m", "sentinel", "--config", checks, *words)

    def start(self) -> None:
        """A daemon."""
        with (self.folder / "log").open("ab") as log:
            daemon = subprocess.Popen(self.sentinel("run"), stdout=log, stderr=log)
        self.daemons.append(daemon)
        self.wait(lambda: bool(self.get("/api/v1/status")))

    def kill(self) -> None:
        """It is killed, and its worker, too."""
        worker = self.worker()
        os.kill(self.daemons[-1].pid, signal.SIGKILL)
        self.daemons[-1].wait(30)
        os.kill(worker, signal.SIGKILL)

    def worker(self) -> int:
        """The worker's process."""
        components = json.loads(self.get("/api/v1/status"))["components"]
        return next((each["pid"] or 0 for each in components if each["name"] == "worker"), 0)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What a command says."""
        command = self.sentinel(*words)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def fill(self) -> None:
        """To the last byte."""
        with (self.state.parent / "filler").open("ab", buffering=0) as filler, suppress(OSError):
            for size in (1 << 16, 1):
                with suppress(OSError):
                    while filler.write(b"x" * size):
                        pass

    def make_room(self) -> None:
        """As a person does."""
        (self.state.parent / "filler").unlink()

    def get(self, path: str) -> str:
        """Of the page; "" while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as seen:
                return str(seen.read().decode())
        except OSError:
            return ""

    def log(self) -> str:
        """All of its lines."""
        return (self.folder / "log").read_text()

    def wait(self, true: Callable[[], bool], seconds: float = 60.0) -> None:
        """Until it holds."""
        deadline = time.monotonic() + seconds
        while not true():
            daemon = self.daemons[-1]
            assert daemon.poll() is None, f"ended with {daemon.returncode}: {self.log()[-4000:]}"
            assert time.monotonic() < deadline, self.log()[-4000:]
            time.sleep(0.05)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Sixteen megabytes."""
    (tmp_path / "disk").mkdir()
    command = [*NAMESPACE, "sh", "-c", HOLD, "sh", "16m", str(tmp_path / "disk")]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        made = Disk(tmp_path, holder, int(probe.getsockname()[1]))
    (tmp_path / "checks").mkdir()
    text = CONFIGURATION.format(port=made.port, disk=made.mount)
    (tmp_path / "checks" / "sentinel.yaml").write_text(text)
    yield made
    for process in (*made.daemons, holder):
        process.kill()
        process.wait()


def metric(disk: Disk, name: str) -> float:
    """One figure."""
    lines = disk.get("/metrics").splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def shut_full(disk: Disk) -> None:
    """To the last byte; and whoever looked last has worked the log off, so that it has to be made
    anew.
    """
    disk.run("status")
    disk.fill()


def open_full(disk: Disk) -> None:
    """Somebody makes room."""
    disk.make_room()


def mount_as(way: str) -> Callable[[Disk], None]:
    """The disk is mounted anew."""

    def mount(disk: Disk) -> None:
        command = disk.within("mount", "-o", f"remount,{way}", str(disk.mount))
        subprocess.run(command, check=True)

    return mount


@pytest.mark.parametrize(
    ("shut", "free", "said", "answered"),
    [
        pytest.param(shut_full, open_full, *["its disk is full"] * 2, id="full"),
        pytest.param(
            mount_as("ro"),
            mount_as("rw"),
            "Read-only file system",
            "mounted read-only",
            id="read-only",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_a_start_on_a_disk_that_takes_nothing(
    disk: Disk,
    shut: Callable[[Disk], None],
    free: Callable[[Disk], None],
    said: str,
    answered: str,
) -> None:
    """Looked at, said wherever people look, told to channels, not acted upon, obeyed with one clear
    answer; and made good by itself.
    """
    disk.start()
    disk.wait(lambda: disk.worker() > 0)
    first = disk.worker()
    disk.kill()
    shut(disk)
    disk.start()
    disk.wait(lambda: '"worker"' in disk.get("/api/v1/incidents"))
    page = json.loads(disk.get("/api/v1/status"))
    assert said in page["held"][0]["text"]
    assert said in " ".join(page["own"])
    assert metric(disk, "sentinel_state_writable") == 0
    disk.wait(lambda: '"event": "notification"' in disk.log())
    status = disk.run("status")
    assert answered in status.stdout
    assert "no action, the state can't be written" in status.stdout
    if free is open_full:
        answer = disk.run("restart", "worker", "--reason", "x")
        assert (answer.returncode, answer.stdout) == (69, ""), answer
        assert answered in answer.stderr
        assert "Traceback" not in answer.stderr
        halted = disk.run("halt", "--reason", "x")
        assert (halted.returncode, "not in the audit log" in halted.stdout) == (0, True)
        resumed = disk.run("resume", "--reason", "x")
        assert resumed.stdout.startswith("resumed; it is not in the audit log")
    assert disk.worker() == 0
    free(disk)
    disk.wait(lambda: disk.worker() not in {0, first})
    disk.wait(lambda: metric(disk, "sentinel_state_writable") == 1)
    told = disk.log()
    assert [told.count(word) for word in ("Traceback", '"event": "notification"')] == [0, 1]
    assert told.count("state_writable_again") == 1
    assert told.count("state_read_only") == 1
    assert "ended while sentinel was away" in disk.run("status").stdout


def test_a_first_start_on_a_full_disk(disk: Disk) -> None:
    """There is nothing to go by yet: all of it is made when there is room, and the worker starts."""
    disk.state.mkdir()
    disk.fill()
    disk.start()
    disk.wait(lambda: '"port"' in disk.get("/api/v1/status"))
    assert metric(disk, "sentinel_state_writable") == 0
    disk.make_room()
    disk.wait(lambda: metric(disk, "sentinel_state_writable") == 1)
    disk.wait(lambda: disk.worker() > 0)
