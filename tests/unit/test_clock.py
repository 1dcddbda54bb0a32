"""The clocks of the machine."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from sentinel.clock import read_boot_id, read_moment_now, read_uptime

ROOT = Path(__file__).parents[2]
READS_A_WALL = re.compile(r"datetime\.(now|utcnow|today)\(|\btime\.time\(|date\.today\(")


def test_nobody_else_reads_the_wall_clock():
    """Whoever compares it with what another process wrote has to have thought of it: one module."""
    readers = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "sentinel").rglob("*.py")
        if READS_A_WALL.search(file.read_text()) and "demo" not in file.parts
    }
    assert readers == {"sentinel/clock.py"}


def test_uptime_is_that_of_the_machine(tmp_path: Path):
    """In a time namespace the offset is taken off again; a kernel without them has none."""
    offsets = tmp_path / "offsets"
    offsets.write_text("monotonic           0         0\nboottime       86400 500000000\n")
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert read_uptime(offsets) == pytest.approx(now - 86400.5, abs=1)
    assert read_uptime(tmp_path / "none") == pytest.approx(now, abs=1)
    moment = read_moment_now()
    assert (moment.boot, moment.uptime) == (read_boot_id(), pytest.approx(now, abs=5))
