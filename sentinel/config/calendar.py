"""Lines of a calendar: cron lines and time zones that exist, judged by who will use them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from sentinel.strict.place import Place


def is_on_calendar(place: Place, cron: str | None, timezone: str, sample: str) -> bool:
    """Whether `cron` and `timezone` below a place can be used; what can't is noted."""
    try:
        zone = ZoneInfo(timezone)
    except (ValueError, OSError, KeyError):
        (place / "timezone").note(f"unknown time zone {timezone!r}", "such as Europe/Berlin")
        return False
    if cron is None:
        return True
    try:
        trigger = CronTrigger.from_crontab(cron, timezone=zone)
        trigger.get_next_fire_time(None, datetime.now(UTC))
    except ValueError as error:
        (place / "cron").note(f"{cron!r} is no cron line: {error}", f'such as "{sample}"')
        return False
    return True
