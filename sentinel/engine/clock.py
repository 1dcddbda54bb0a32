"""The daemon's clock: durations of an episode are not moved by whoever sets the date in the middle
of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from sentinel.core.moment import Moment

log = structlog.get_logger()

NOTICEABLE = 1.0


def _wall() -> datetime:
    return datetime.now(UTC)


def _uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read_boot_id() -> str:
    """The kernel's name of this boot, or "" where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class SteadyClock:
    """Wall time that goes on with the uptime; a step of the wall clock is taken over by `settle`
    only.

    The caller settles while nothing is wrong: then people read the new time, and no timer is
    running that the step could end early or hold for ever.
    """

    def __init__(
        self,
        wall: Callable[[], datetime] = _wall,
        uptime: Callable[[], float] = _uptime,
        boot: str | None = None,
    ) -> None:
        self._wall, self._uptime = wall, uptime
        self._boot = read_boot_id() if boot is None else boot
        self._anchor = (wall(), uptime())

    @staticmethod
    def monotonic() -> float:
        """Seconds that never go back; they stand still while the machine sleeps."""
        return time.monotonic()

    def utcnow(self) -> datetime:
        """Aware UTC."""
        at, since = self._anchor
        return at + timedelta(seconds=self._uptime() - since)

    def moment(self) -> Moment:
        """Now, comparable over a step of the wall clock."""
        return Moment(self.utcnow(), self._boot, self._uptime())

    def step(self) -> float:
        """Seconds by which the wall clock was set since it was last taken over."""
        return (self._wall() - self.utcnow()).total_seconds()

    def settle(self) -> None:
        """Take the wall clock's time over."""
        step = self.step()
        if abs(step) > NOTICEABLE:
            log.warning("clock_stepped", seconds=round(step, 3))
        self._anchor = (self._wall(), self._uptime())
