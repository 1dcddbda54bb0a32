"""Lines of a calendar: cron lines and time zones that exist, judged by who will use them."""

from __future__ import annotations

from sentinel.core.moment.zone import find_zone, find_zone_fault
from sentinel.core.schedule.crontab import read_crontab
from sentinel.strict.place import Place


def is_on_calendar(place: Place, cron: str | None, timezone: str, sample: str) -> bool:
    """Whether `cron` and `timezone` below a place can be used; what can't is noted."""
    zone, fault = find_zone(timezone), find_zone_fault(timezone)
    if fault or zone is None or zone.key != timezone:
        known = "such as Europe/Berlin" if fault or zone is None else f"write {zone.key}"
        (place / "timezone").note(f"unknown time zone {timezone[:60]!r}", known)
        return False
    if cron is None:
        return True
    try:
        read_crontab(cron)
    except ValueError as error:
        remedy = f'as crontab(5) has it, such as "{sample}"'
        (place / "cron").note(f"{cron[:60]!r} is no cron line: {str(error)[:200]}", remedy)
        return False
    return True
