"""Days and instants as people write them in a configuration."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

FORM = "write a date, such as 2031-01-31 (its whole day, UTC), or an instant with its zone"


def parse_end(text: str) -> datetime | None:
    """The end of a day, or an instant; None for what is neither."""
    return _parse(text, timedelta(days=1))


def parse_begin(text: str) -> datetime | None:
    """The beginning of a day, or an instant; None for what is neither."""
    return _parse(text, timedelta())


def _parse(text: str, later: timedelta) -> datetime | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return parse_instant(text)
    try:
        return datetime.combine(day + later, time(), UTC)
    except OverflowError:
        return None


def parse_instant(text: str) -> datetime | None:
    """An instant with its zone, in UTC; None for what is none, or leaves the calendar there."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
