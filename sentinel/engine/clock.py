"""The daemon's clock: durations of an episode are not moved by whoever sets the date in the middle
of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from sentinel.clock import read_boot_id, read_uptime, utcnow
from sentinel.core.moment import Moment

log = structlog.get_logger()

NOTICEABLE = 1.0


class SteadyClock:
    """Wall time that goes on with the uptime; a step of the wall clock is taken over by `settle`
    only.

    The caller settles while nothing is being repaired or proven: then people read the new time, and
    no timer is running that the step could end early or hold for ever.
    """

    def __init__(
        self,
        wall: Callable[[], datetime] = utcnow,
        uptime: Callable[[], float] = read_uptime,
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

    def wall(self) -> datetime:
        """What the wall shows: for what others wrote by it, and for calendars."""
        return self._wall()

    def resume(self, beat: Moment) -> None:
        """Go on with the clock of the sentinel before this one, when that was in this boot: what it
        left open lasts as long as it lasts. A step is taken over by `settle`, like any other.
        """
        now = self._uptime()
        if Moment(self._wall(), self._boot, now).is_of_one_boot(beat):
            self._anchor = (beat.at, beat.uptime or 0.0)

    def step(self) -> float:
        """Seconds by which the wall clock was set since it was last taken over."""
        return (self._wall() - self.utcnow()).total_seconds()

    def settle(self) -> float:
        """Take the wall clock's time over; the step in seconds, 0 for one that nobody notices."""
        step = self.step()
        self._anchor = (self._wall(), self._uptime())
        if abs(step) <= NOTICEABLE:
            return 0.0
        log.warning("clock_stepped", seconds=round(step, 3))
        return step
