"""A cron line as a trigger of the calendar: APScheduler's own counts Monday as day 0."""

from __future__ import annotations

from datetime import datetime, tzinfo

from apscheduler.triggers.base import BaseTrigger

from sentinel.core.crontab import read_crontab


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
