"""Triggers of the calendar: APScheduler's own count Monday as day 0, and walk through every run that
a clock which was set has skipped.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from apscheduler.triggers.base import BaseTrigger

from sentinel.core.schedule import next_due
from sentinel.core.schedule.crontab import read_crontab


class CronLine(BaseTrigger):  # type: ignore[misc]  # it has no types
    """When a line comes next in its zone. Raises ValueError for what crontab(5) does not know."""

    __slots__ = ("_crontab", "_zone", "loose")

    def __init__(self, line: str, zone: tzinfo) -> None:
        self._crontab, self._zone = read_crontab(line), zone
        self.loose = not self._crontab.fixed
        """Whether it comes every so often, and not at times of the day."""

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        """The next time from now on: what was missed meanwhile is done once, not once for each."""
        return self._crontab.next_after(max(previous or now, now), self._zone)


class EverySoOften(BaseTrigger):  # type: ignore[misc]  # it has no types
    """Every so many seconds, first after `delay`; what was missed is done once."""

    __slots__ = ("_delay", "_seconds")

    def __init__(self, seconds: float, delay: float) -> None:
        self._seconds, self._delay = seconds, timedelta(seconds=delay)

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """The next slot of the grid on which the run before was."""
        if previous is None:
            return now + self._delay
        due, _ = next_due(previous.timestamp(), self._seconds, now.timestamp())
        return datetime.fromtimestamp(due, UTC)
