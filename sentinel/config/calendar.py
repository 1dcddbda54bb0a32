"""Lines of a calendar: cron lines and time zones that exist, judged by who will use them."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from sentinel.core.schedule.crontab import read_crontab
from sentinel.strict.place import Place


def is_on_calendar(place: Place, cron: str | None, timezone: str, sample: str) -> bool:
    """Whether `cron` and `timezone` below a place can be used; what can't is noted."""
    try:
        ZoneInfo(timezone)
    except (ValueError, OSError, KeyError):
        (place / "timezone").note(f"unknown time zone {timezone!r}", "such as Europe/Berlin")
        return False
    if cron is None:
        return True
    try:
        read_crontab(cron)
    except ValueError as error:
        remedy = f'as crontab(5) has it, such as "{sample}"'
        (place / "cron").note(f"{cron!r} is no cron line: {error}", remedy)
        return False
    return True
