"""D6: as process 1 of a PID namespace. Everybody who loses his parent is waited for, and the daemon
learns every exit status of its own children.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from sentinel.cli.first_process import stand_as_first_process

IN_NAMESPACE = ["unshare", "-r", "-p", "-f", "--mount-proc", "--kill-child"]
"""What follows is process 1 of a namespace of its own."""
PREAMBLE = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
from sentinel.cli.first_process import stand_as_first_process
ended = stand_as_first_process()
if ended is not None:
    os._exit(ended)

def zombies():
    found = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found += (folder / "stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
            except OSError:
                continue
    return found
"""
FORKING = """
codes = []
for _ in range(40):
    subprocess.run(["/bin/sh", "-c", "(exit 3) & (sleep 0.02; exit 4) & exit 0"])
    codes.append(subprocess.run(["/bin/sh", "-c", "exit 7"]).returncode)
deadline = time.monotonic() + 10
while (left := zombies()) and time.monotonic() < deadline:
    time.sleep(0.02)
print(json.dumps([os.getppid(), codes, left]))
sys.exit(5)
"""
WAITING = """
def told(signum, _):
    print(signal.Signals(signum).name, flush=True)
    if signum == signal.SIGTERM:
        os.kill(os.getpid(), signal.SIGKILL)
for signum in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
    signal.signal(signum, told)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""
COMPONENT = "while :; do (sleep 0.05 & sleep 0.02 &) ; sleep 0.02; done"
OFTEN = "restart: {max_attempts: 10, per_hour: 1000, per_day: 1000, backoff: {initial: 0s}}"
CONFIGURATION = """
listen: 127.0.0.1:0
state: {folder}/state
actions: {{enabled: true, start_grace: 0s, limits: {{per_window: 1000}}}}
components:
{components}
checks:
  - {{name: elsewhere, kind: tcp, component: w1, address: "127.0.0.1:9", every: 1h}}
"""


def _permitted() -> bool:
    try:
        return subprocess.run([*IN_NAMESPACE, "true"], check=False, timeout=20).returncode == 0
    except OSError:
        return False


in_namespace = pytest.mark.skipif(not _permitted(), reason="no PID namespaces here")


def begin(*command: str) -> subprocess.Popen[bytes]:
    """Begin a program as process 1."""
    return subprocess.Popen(
        [*IN_NAMESPACE, sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def descendants(pid: int) -> dict[int, str]:
    """The state of everybody below a process, whom it began first: numbers begin anew at the end."""
    children: dict[int, list[int]] = {}
    states: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            states[int(folder.name)] = fields[0].decode()
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, left = {}, list(children.get(pid, ()))
    while left:
        each = left.pop()
        found[each] = states[each]
        left += children.get(each, ())
    return found


def zombies_that_stay(seen: Sequence[dict[int, str]]) -> list[set[int]]:
    """Who was a zombie at two looks in a row, for each two: who has just ended is no fault yet."""
    dead = [{pid for pid, state in look.items() if state == "Z"} for look in seen]
    return [both for one, two in pairwise(dead) if (both := one & two)]


def test_elsewhere_it_is_nothing() -> None:
    """Who is not process 1 forks nothing."""
    assert stand_as_first_process() is None


@in_namespace
def test_orphans_are_reaped_and_no_status_is_taken() -> None:
    """Eighty orphans, forty children: no zombie, each status, and the exit code of the daemon."""
    done = begin("-c", PREAMBLE + FORKING)
    output, trouble = done.communicate(timeout=60)
    assert (done.returncode, trouble) == (5, b"")
    assert json.loads(output) == [1, [7] * 40, 0]


@in_namespace
def test_signals_go_to_the_daemon() -> None:
    """What is sent to process 1 is for the daemon; how that ended is told as a shell tells it."""
    done = begin("-c", PREAMBLE + WAITING)
    assert done.stdout is not None
    assert done.stdout.readline() == b"ready\n"
    first = next(iter(descendants(done.pid)))
    for signum in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
        os.kill(first, signum)
        assert done.stdout.readline().decode().strip() == signum.name
    done.communicate(timeout=20)
    assert done.returncode == 128 + signal.SIGKILL


@in_namespace
@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.nightly)])
def test_a_daemon_as_entry_point_leaves_no_zombie(tmp_path: Path, seconds: int) -> None:
    """Three components that fork and forget, two that die and are started again; no zombie at any
    two looks in a row; TERM ends it in order.
    """
    forking = json.dumps(["/bin/sh", "-c", COMPONENT])
    dying = json.dumps(["/bin/sh", "-c", "(sleep 0.3 & sleep 0.4 &) ; sleep 0.2"])
    written = [f"  w{n}: {{driver: process, command: {forking}}}" for n in (1, 2, 3)]
    written += [f"  d{n}: {{driver: process, command: {dying}, {OFTEN}}}" for n in (1, 2)]
    (tmp_path / "checks").mkdir()
    text = CONFIGURATION.format(folder=tmp_path, components="\n".join(written))
    (tmp_path / "checks" / "sentinel.yaml").write_text(text)
    done = begin("-m", "sentinel", "--config", str(tmp_path / "checks"), "run")
    try:
        deadline = time.monotonic() + 90
        while len(descendants(done.pid)) < 6 and time.monotonic() < deadline:
            time.sleep(0.1)
        looks = []
        for _ in range(seconds * 5):
            time.sleep(0.2)
            looks.append(descendants(done.pid))
        assert max(map(len, looks)) >= 6
        assert len(set().union(*looks)) > 5 * seconds, "they fork, and forget"
        assert zombies_that_stay(looks) == []
        os.kill(next(iter(looks[-1])), signal.SIGTERM)
        _, trouble = done.communicate(timeout=20)
        assert (done.returncode, b"Traceback" in trouble) == (0, False)
    finally:
        done.kill()
