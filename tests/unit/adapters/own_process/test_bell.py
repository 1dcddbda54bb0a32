"""Signals that mean nothing end nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sentinel.adapters.own_process.bell import STRAY

PROGRAM = """
import os, subprocess
from sentinel.adapters.own_process.bell import STRAY, Bell
Bell()
for number in sorted(STRAY):
    os.kill(os.getpid(), number)
print("lives", flush=True)
subprocess.run(["/bin/grep", "SigIgn", "/proc/self/status"], restore_signals=True)
"""


def test_a_stray_signal_ends_nobody_and_is_no_heritage() -> None:
    """Neither by its default, nor does a component start deaf to it."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True
    )
    said, ignored = ended.stdout.splitlines()
    assert (said, ended.returncode) == ("lives", 0)
    # Of the others the C library ignores two of its own in what it starts.
    stray = sum(1 << number - 1 for number in STRAY)
    assert int(ignored.split()[1], 16) & ~_read_ignored() & stray == 0


def _read_ignored() -> int:
    """What this process itself was started deaf to is handed on."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn"))
