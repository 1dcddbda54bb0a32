"""The clocks of this machine: the only place that reads them.

People, logs and rows have the wall clock, which anybody may set. What one process compares with
what another one wrote goes by boot id and uptime.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from sentinel.core.moment import Moment

_OFFSETS = Path("/proc/self/timens_offsets")
_NANOSECOND = 1e-9


def utcnow() -> datetime:
    """The wall clock, aware UTC."""
    return datetime.now(UTC)


def read_uptime(offsets: Path = _OFFSETS) -> float:
    """Seconds since boot, suspended time included, as the machine counts them: a container with a
    time namespace of its own is told another figure, and how far it is off.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) - read_uptime_offset(offsets)


def read_lead() -> float:
    """By how many seconds the wall clock is ahead of the uptime that this process is told: another
    figure when somebody has set it.
    """
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def read_uptime_offset(offsets: Path = _OFFSETS) -> float:
    """By how many seconds this process is told a longer uptime than the machine has: its time
    namespace keeps that for as long as a process is in it.
    """
    try:
        lines = [line.split() for line in offsets.read_text().splitlines()]
        return next(
            int(seconds) + int(nanoseconds) * _NANOSECOND
            for name, seconds, nanoseconds in lines
            if name == "boottime"
        )
    except (OSError, ValueError, StopIteration):  # a kernel without time namespaces
        return 0.0


@cache
def read_boot_id() -> str:
    """The kernel's name of this boot, or "" where there is none; no process sees another one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def read_moment_now() -> Moment:
    """Now, as every process of this machine can compare it."""
    return Moment(utcnow(), read_boot_id(), read_uptime())
