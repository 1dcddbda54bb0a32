"""An instant that no change of the wall clock can move: budgets must not refill when somebody sets
the date.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sentinel.core.moment.zone import read_wall


@dataclass(frozen=True, slots=True)
class Moment:
    """Aware UTC for people, and seconds since boot (suspended time included) of the boot called
    `boot`.
    """

    at: datetime
    boot: str = ""
    uptime: float | None = None

    def seconds_since(self, earlier: Moment) -> float:
        """Seconds from an earlier moment to this one, never negative.

        By uptime when both are of one boot; over a reboot only the wall clock can tell.
        """
        if self.is_of_one_boot(earlier):
            return max((self.uptime or 0.0) - (earlier.uptime or 0.0), 0.0)
        return max((self.at - earlier.at).total_seconds(), 0.0)

    def is_after(self, other: Moment) -> bool:
        """By uptime when both are of one boot, else by the wall clock."""
        if self.is_of_one_boot(other):
            return (self.uptime or 0.0) > (other.uptime or 0.0)
        return self.at > other.at

    def is_of_one_boot(self, other: Moment) -> bool:
        """Whether the wall clock may be left out of a comparison."""
        known = self.uptime is not None and other.uptime is not None
        return known and bool(self.boot) and self.boot == other.boot

    def is_meant_until(self, given: Moment, seconds: float) -> bool:
        """Whether what was ordered at `given` for so many seconds still holds.

        What is of another boot, or of a time that is still to come, does not.
        """
        if self.boot and given.boot and self.boot != given.boot:
            return False
        if self.is_of_one_boot(given):
            return self.seconds_since(given) <= seconds
        return abs((self.at - given.at).total_seconds()) <= seconds

    def show(self, clock: Moment) -> datetime:
        """What the wall clock that wrote `clock` shows at this moment: it may have been set since,
        or not have been taken over. Over a reboot, what the wall shows now.
        """
        if not self.is_of_one_boot(clock):
            return self.at
        return clock.at + timedelta(seconds=(self.uptime or 0.0) - (clock.uptime or 0.0))


def write_moment(moment: Moment) -> str:
    """One word for the store's memory."""
    return f"{moment.at.isoformat()} {moment.boot} {moment.uptime or 0.0}"


def read_moment(text: str) -> Moment:
    """The moment of `write_moment`; an instant alone is one too."""
    at, _, rest = text.partition(" ")
    boot, _, uptime = rest.partition(" ")
    return Moment(datetime.fromisoformat(at), boot, float(uptime) if uptime else None)


_MILLISECONDS_FROM = 1e11
"""Seconds reach this number in the year 5138, milliseconds in 1973."""


_EARLIEST = 978_307_200.0
"""2001-01-01: what claims to be older is no time of a platform that runs."""


def read_instant(value: Any, zone: str = "UTC") -> float | None:
    """Unix seconds of a time as platforms write it: seconds, milliseconds, ISO 8601; else None.

    A text without an offset is of `zone`; of an hour that occurs twice it is in the second.
    """
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    except (TypeError, ValueError):
        return _read_iso(str(value), zone)
    seconds = number / 1000 if abs(number) >= _MILLISECONDS_FROM else number
    return seconds if _EARLIEST <= seconds < _MILLISECONDS_FROM else None


def is_wall_time(value: Any) -> bool:
    """Whether a value is a time in a text that does not tell its offset."""
    if not isinstance(value, str):
        return False
    at = _parse_iso(value)
    return at is not None and at.tzinfo is None


def _read_iso(text: str, zone: str) -> float | None:
    at = _parse_iso(text)
    if at is None:
        return None
    return at.timestamp() if at.tzinfo else read_wall(at, zone)[-1]


def _parse_iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None


def is_time(seconds: float) -> bool:
    """Whether a number can be an instant of a platform that runs, in Unix seconds."""
    return _EARLIEST <= seconds < _MILLISECONDS_FROM


def from_unix(seconds: float) -> datetime | None:
    """Aware UTC; None for what is no instant of a platform that runs."""
    return datetime.fromtimestamp(seconds, UTC) if is_time(seconds) else None
