"""Cron lines as crontab(5) and cron(8) define them: what they mean, and when they come next. Pure.

What differs from Vixie's cron is refused, never guessed: `@reboot`, six fields, `?`, `L`, `W`, `#`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
HORIZON = timedelta(days=41 * 366)
"""A 29 February that is a Sunday may be forty years away, over 2100; what is later never comes."""
SAVED = timedelta(hours=3)
"""A jump of the local time by less is daylight saving and is made up for; more is a correction
(cron(8)).
"""
_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_ENDS = (time(0), time(23, 59))


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    least: int
    most: int
    words: Mapping[str, int]


_FIELDS = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, {word: n for n, word in enumerate(MONTHS, 1)}),
    _Field("day of week", 0, 7, {word: n for n, word in enumerate(WEEKDAYS)}),
)


@dataclass(frozen=True, slots=True)
class Crontab:
    """When something is due. Weekdays are 0 (Sunday) to 6.

    `either`: day of month and day of week are both restricted, so one of them is enough. `fixed`:
    neither minute nor hour begins with `*`, so a change to or from daylight saving time neither
    skips nor repeats it.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    fixed: bool

    def is_on(self, day: date) -> bool:
        """Whether a day of the local calendar is meant."""
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either else of_month and of_week

    def next_after(self, instant: datetime, zone: tzinfo) -> datetime | None:
        """The first time after an aware instant, in UTC; None when it never comes."""
        # A day earlier: what a jump over midnight skips is made up for on the next day.
        day = instant.astimezone(zone).date() - _DAY
        for _ in range(HORIZON.days):
            if self.is_on(day):
                found = self._first_on(day, instant, zone)
                if found is not None:
                    return found
            day += _DAY
        return None

    def _first_on(self, day: date, instant: datetime, zone: tzinfo) -> datetime | None:
        """The first time after an instant that one day of the local calendar has. What is certainly
        over, or later than what was found, is not looked at: a daemon asks twice a second.
        """
        least, most = _offsets(day, zone)
        found: datetime | None = None
        for hour in sorted(self.hours):
            if datetime.combine(day, time(hour, 59), UTC) - least <= instant:
                continue
            for minute in sorted(self.minutes):
                local = datetime.combine(day, time(hour, minute))
                shown = local.replace(tzinfo=UTC)
                if shown - least <= instant:
                    continue
                if found is not None and shown - most > found:
                    return found
                times = _fixed(local, zone) if self.fixed else _actual(local, zone)
                found = min((at for at in (found, *times) if at and at > instant), default=None)
        return found


def _offsets(day: date, zone: tzinfo) -> tuple[timedelta, timedelta]:
    """The least and the most that the clock of a zone is ahead of UTC on a day. Where it is put
    forward or back, the one before and the one after are at the ends of the day.
    """
    ends = (datetime.combine(day, at, zone).replace(fold=n) for at in _ENDS for n in (0, 1))
    offsets = [each.utcoffset() or timedelta() for each in ends]
    return min(offsets), max(offsets)


def _actual(local: datetime, zone: tzinfo) -> set[datetime]:
    """Every instant at which the clock on the wall shows this: none, one or two."""
    found = {local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return {at for at in found if at.astimezone(zone).replace(tzinfo=None) == local}


def _fixed(local: datetime, zone: tzinfo) -> set[datetime]:
    """One instant: the first when the wall shows it twice, the end of the jump that skips it."""
    shown = _actual(local, zone)
    if shown:
        return {min(shown)}
    before, after = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    jump = (after.utcoffset() or timedelta()) - (before.utcoffset() or timedelta())
    if jump >= SAVED:
        return set()
    # `after` counts with the offset that holds later, so its instant is before the jump.
    at = after.astimezone(UTC)
    while at.astimezone(zone).utcoffset() != after.utcoffset():
        at += _MINUTE
    return {at}


def read_crontab(text: str) -> Crontab:
    """What a line means. Raises ValueError with the field that is wrong and what to write."""
    line = text.strip()
    if line.startswith("@"):
        line = _expand(line)
    words = line.split()
    if len(words) != len(_FIELDS):
        raise ValueError(
            f"{len(words)} fields, there are five: minute, hour, day of month, month, day of week"
        )
    values = [_read_field(word, field) for word, field in zip(words, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = values
    # Vixie's rule: `*/2` begins with a star, too, and restricts nothing by itself.
    starred = [word.startswith("*") for word in words]
    crontab = Crontab(
        minutes,
        hours,
        days,
        months,
        frozenset(n % 7 for n in weekdays),
        either=not starred[2] and not starred[4],
        fixed=not starred[0] and not starred[1],
    )
    if crontab.next_after(datetime(2000, 1, 1, tzinfo=UTC), UTC) is None:
        raise ValueError("no such day ever comes")
    return crontab


def _expand(word: str) -> str:
    if word == "@reboot":
        raise ValueError("@reboot is no time; name one, such as @daily")
    if word not in MACROS:
        raise ValueError(f"{word} is none of {', '.join(sorted(MACROS))}")
    return MACROS[word]


def _read_field(text: str, field: _Field) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        found |= _read_part(part, field)
    return frozenset(found)


def _read_part(text: str, field: _Field) -> set[int]:
    span, slash, step = text.partition("/")
    first, dash, last = span.partition("-")
    if slash and (not step.isascii() or not step.isdigit() or int(step) == 0):
        raise ValueError(f"{field.name} {text!r}: a step is a number from 1")
    if span == "*":
        least, most = field.least, field.most
    elif dash:
        least, most = _read_number(first, field), _read_number(last, field)
    else:
        least = most = _read_number(span, field)
    if slash and span != "*" and not dash:
        raise ValueError(
            f"{field.name} {text!r}: a step needs a range, write {span}-{field.most}/{step}"
        )
    if least > most:
        raise ValueError(f"{field.name} {text!r} runs backwards{_advise(field)}")
    if slash and int(step) > field.most - field.least:
        raise ValueError(
            f"{field.name} {text!r}: a step of {step} leads out of {field.least} to {field.most},"
            f" write {least}"
        )
    return set(range(least, most + 1, int(step) if slash else 1))


def _read_number(text: str, field: _Field) -> int:
    number = field.words.get(text.lower())
    if number is None and text.isascii() and text.isdigit():
        number = int(text)
    if number is None or not field.least <= number <= field.most:
        words = f" or {', '.join(field.words)}" if field.words else ""
        raise ValueError(f"{field.name} {text!r} is not {field.least} to {field.most}{words}")
    return number


def _advise(field: _Field) -> str:
    sunday = ": Sunday at its end is 7" if field.most == 7 else ""
    return f"{sunday}; write two ranges with a comma"
