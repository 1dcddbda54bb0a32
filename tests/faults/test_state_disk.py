"""E1, E2: sentinel starts on a disk that takes nothing. Checks run and people are told, nothing is
done; with room again what was seen meanwhile is written, and actions go on by themselves.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.real_daemon import RealDaemon

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
class Disk(RealDaemon):
    """A small disk of its own, and the sentinel on it."""

    def within(self, *command: str) -> list[str]:
        """A command on the disk."""
        return [*self.prefix, *command]

    def fill(self) -> None:
        """To the last byte."""
        with (self.state.parent / "filler").open("ab", buffering=0) as filler:
            for size in (1 << 16, 1):
                with suppress(OSError):
                    while filler.write(b"x" * size):
                        pass

    def make_room(self) -> None:
        """As a person does."""
        (self.state.parent / "filler").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Sixteen megabytes."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = [*NAMESPACE, "sh", "-c", HOLD, "sh", "16m", str(mount)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    prefix = ("nsenter", "-t", str(holder.pid), "-U", "-m", "--")
    made = Disk(tmp_path, Path(f"/proc/{holder.pid}/root{mount}/state"), prefix)
    made.write(mount / "state")
    yield made
    made.end()
    holder.kill()
    holder.wait()
    holder.stdout.close()


WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner")
"""Modes of folders hold for root, too."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Disk]:
    """A plain folder, of a sentinel for which its mode holds."""
    prefix = WITHOUT_RIGHTS if os.geteuid() == 0 else ()
    made = Disk(tmp_path, tmp_path / "state", prefix)
    made.write(made.state)
    yield made
    made.state.chmod(0o700)
    made.end()


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
        command = disk.within("mount", "-o", f"remount,{way}", str(disk.folder / "disk"))
        subprocess.run(command, check=True)

    return mount


def chmod_to(mode: int) -> Callable[[Disk], None]:
    """Somebody changes the mode of the folder."""
    return lambda disk: disk.state.chmod(mode)


@pytest.mark.parametrize(
    ("place", "shut", "free", "said", "answered"),
    [
        pytest.param("disk", shut_full, open_full, *["its disk is full"] * 2, id="full"),
        pytest.param(
            "folder",
            chmod_to(0o500),
            chmod_to(0o700),
            "Permission denied",
            "its folder may not be written",
            id="forbidden",
        ),
        pytest.param(
            "disk",
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
    request: pytest.FixtureRequest,
    place: str,
    shut: Callable[[Disk], None],
    free: Callable[[Disk], None],
    said: str,
    answered: str,
) -> None:
    """Looked at, said wherever people look, told to channels, not acted upon, obeyed with one clear
    answer; and made good by itself.
    """
    disk: Disk = request.getfixturevalue(place)
    disk.start()
    disk.wait(lambda: disk.worker() > 0)
    first = disk.worker()
    disk.kill()
    shut(disk)
    disk.start()
    disk.wait(lambda: '"worker"' in disk.get("/api/v1/incidents"))
    disk.wait(lambda: said in disk.held())
    disk.wait(lambda: said in " ".join(json.loads(disk.get("/api/v1/status"))["own"]))
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
    if place == "folder":  # its files can be written, and no new one can be made
        halted = disk.run("halt", "--reason", "x")
        assert halted.returncode == 69, halted
        assert "can't be written: Permission denied" in halted.stderr
        assert "kill -USR1" in halted.stderr
    assert disk.worker() == 0
    free(disk)
    disk.wait(lambda: disk.worker() not in {0, first})
    disk.wait(lambda: metric(disk, "sentinel_state_writable") == 1)
    told = disk.log()
    assert [told.count(word) for word in ("Traceback", '"event": "notification"')] == [0, 1]
    assert told.count("state_writable_again") == 1
    assert told.count("state_read_only") == 1
    assert "process-down" in disk.run("status").stdout


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
