"""D7, D21: a component prints more than the disk of the state has room for. It is cut while it runs;
the others are restarted, and every row of the journal is written.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PRINTER = """
import os, sys, time
from pathlib import Path
megabytes, seconds, told = int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
begin, printed, refused, parent = time.monotonic(), 0, 0, os.getppid()
while printed < megabytes * 2**20:
    try:
        printed += os.write(1, b"x" * 65535 + b"\\n")
    except OSError:
        refused += 1
        time.sleep(0.001)
    time.sleep(max(begin + seconds * printed / (megabytes * 2**20) - time.monotonic(), 0))
told.write_text(f"{time.monotonic() - begin:.1f} {refused}")
while os.getppid() == parent:
    time.sleep(0.2)
"""
MOUNTED = 'mount -t tmpfs -o size="$1"m tmpfs "$2" && shift 2 && exec "$@"'
CONFIGURATION = """
listen: 127.0.0.1:0
state: {disk}/state
actions: {{enabled: true, start_grace: 0s, limits: {{per_window: 1000}}, breaker: {{last_attempts: 0}}}}
components:
  loud: {{driver: process, command: {printer}}}
  frail:
    driver: process
    command: [/bin/sh, -c, "sleep 0.4"]
    restart: {{max_attempts: 10, per_hour: 99, per_day: 99, backoff: {{initial: 0s}}}}
checks:
  - {{name: elsewhere, kind: tcp, component: loud, address: "127.0.0.1:9", every: 1h}}
"""
IN_NAMESPACE = ["unshare", "-r", "-m"]


def _permitted() -> bool:
    return (
        shutil.which("unshare") is not None
        and subprocess.run([*IN_NAMESPACE, "true"], check=False).returncode == 0
    )


@pytest.mark.skipif(not _permitted(), reason="no mount namespaces here")
@pytest.mark.parametrize(
    ("disk", "megabytes", "seconds"),
    [(8, 40, 2.0), pytest.param(120, 400, 8.0, marks=pytest.mark.nightly),
     pytest.param(120, 4000, 0.0, marks=pytest.mark.nightly)],
)  # fmt: skip
def test_more_is_printed_than_the_disk_holds(
    tmp_path: Path, disk: int, megabytes: int, seconds: float
) -> None:
    """So many megabytes onto a disk of so many: who dies meanwhile is restarted, each attempt has
    its outcome, the log tells of no write that failed, and the disk has room at the end.
    """
    mount, told = tmp_path / "disk", tmp_path / "told"
    mount.mkdir()
    printer = json.dumps([sys.executable, "-c", PRINTER, str(megabytes), str(seconds), str(told)])
    (tmp_path / "checks").mkdir()
    text = CONFIGURATION.format(disk=mount, printer=printer)
    (tmp_path / "checks" / "sentinel.yaml").write_text(text)
    command = [*IN_NAMESPACE, "sh", "-c", MOUNTED, "sh", str(disk), str(mount)]
    command += [sys.executable, "-m", "sentinel", "--config", str(tmp_path / "checks"), "run"]
    with (tmp_path / "log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(told.exists, 60 + seconds)
        free = os.statvfs(f"/proc/{daemon.pid}/root{mount}")
        outcomes = _read_outcomes(Path(f"/proc/{daemon.pid}/root{mount}/state"), tmp_path)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(30) == 0
    finally:
        daemon.kill()
    written = (tmp_path / "log").read_text()
    took, refused = told.read_text().split()
    sys.stdout.write(f"{megabytes} MB in {took} s, {refused} writes refused, {outcomes}\n")
    assert len(outcomes) >= 3
    assert set(outcomes[:-1]) == {"done"}  # the last may be on its way
    assert "Traceback" not in written
    assert "journal_unwritable" not in written
    assert free.f_bavail * free.f_frsize > 2**20


def _wait(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert true()


def _read_outcomes(state: Path, folder: Path) -> list[str]:
    """What became of each attempt, from a copy: nobody disturbs the journal."""
    for name in ("sentinel.db", "sentinel.db-wal"):
        shutil.copy(state / name, folder / name)
    with sqlite3.connect(folder / "sentinel.db") as copy:
        rows = copy.execute("select document from attempt order by intended").fetchall()
    return [json.loads(document)["outcome"] for (document,) in rows]
