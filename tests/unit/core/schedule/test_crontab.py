"""Cron lines against a reader of its own that only tries every minute."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core.schedule import crontab as module
from sentinel.core.schedule.crontab import MACROS, read_crontab

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 11, 30, tzinfo=UTC)
NAMES = {
    3: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    4: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}


# -- the oracle: Vixie's bit arrays, tried minute by minute ----------------------------------------


def bits(word: str, index: int) -> set[int]:
    low, high = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)][index]
    base = 1 if index == 3 else 0
    word = word.lower()
    for n, name in enumerate(NAMES.get(index, [])):
        word = word.replace(name, str(n + base))
    found = set()
    for part in word.split(","):
        span, _, step = part.partition("/")
        ends = [low, high] if span == "*" else [int(end) for end in span.split("-")]
        found |= {n for n in range(ends[0], ends[-1] + 1) if (n - ends[0]) % int(step or 1) == 0}
    return found


def brute(line: str, after: datetime, count: int) -> list[datetime]:
    words = line.split()
    minute, hour, day, month, week = (bits(word, i) for i, word in enumerate(words))
    star = words[2][0] == "*" or words[4][0] == "*"
    at, found = after.replace(second=0, microsecond=0), []
    for _ in range(20 * 24 * 60):
        at += timedelta(minutes=1)
        if at.minute not in minute or at.hour not in hour or at.month not in month:
            continue
        today = (at.weekday() + 1) % 7
        on_day, on_week = at.day in day, today in week or (today == 0 and 7 in week)
        if (on_day and on_week) if star else (on_day or on_week):
            found.append(at)
        if len(found) == count:
            break
    return found


def runs(line: str, after: datetime, count: int, zone=UTC) -> list[datetime]:
    crontab, found = read_crontab(line), []
    while len(found) < count:
        after = crontab.next_after(after, zone)
        found.append(after)
    return found


# -- weekdays: the fault that was seen -------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "days"),
    [
        ("0", [6]), ("7", [6]), ("1", [0]), ("sun", [6]), ("Mon", [0]), ("MON-FRI", [0, 1, 2, 3, 4]),
        ("1-5", [0, 1, 2, 3, 4]), ("5-7", [4, 5, 6]), ("sat,sun", [5, 6]), ("0,7", [6]),
        ("0-7", [0, 1, 2, 3, 4, 5, 6]), ("*/2", [1, 3, 5, 6]), ("1-6/2", [0, 2, 4]),
    ],
)  # fmt: skip
def test_days_of_the_week_are_those_of_crontab(word, days):
    """Sunday is 0 and 7, Monday is 1; `weekday()` of Python says Monday 0 to Sunday 6."""
    found = runs(f"0 12 * * {word}", MONDAY, 14)
    assert sorted({at.weekday() for at in found}) == days


# -- against the oracle ----------------------------------------------------------------------------


@st.composite
def fields(draw, index):
    low, high = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)][index]
    parts = []
    for _ in range(draw(st.integers(1, 2))):
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high))
        step = draw(st.sampled_from(["", "/2", "/3", "/7"]))
        parts.append(draw(st.sampled_from([f"*{step}", str(first), f"{first}-{last}{step}"])))
    return ",".join(parts)


lines = st.tuples(*(fields(i) for i in range(5))).map(" ".join)


@settings(max_examples=80, deadline=None)
@given(lines, st.integers(0, 366 * 1440))
def test_every_line_comes_when_trying_every_minute_says_so(line, offset):
    """The next three times of random lines, against minute-by-minute Vixie."""
    after = datetime(2027, 1, 1, tzinfo=UTC) + timedelta(minutes=offset)
    expected = brute(line, after, 3)
    if not expected:
        with suppress(ValueError):
            assert read_crontab(line).next_after(after, UTC) > after + timedelta(days=19)
        return
    crontab = read_crontab(line)
    found, at = [], after
    for _ in expected:
        at = crontab.next_after(at, UTC)
        found.append(at)
    assert found == expected


ZONES = [
    ZoneInfo(name)
    for name in (
        "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Antarctica/Troll",
        "Africa/Casablanca", "Asia/Gaza", "Pacific/Apia",
    )
]  # fmt: skip
"""Clocks that jump at midnight, by half an hour, by two hours, backwards in spring, by a day."""


def find_jump(after, zone):
    """The first hour after an instant in which the clock of a zone is put forward or back."""
    offset = after.astimezone(zone).utcoffset()
    while after.astimezone(zone).utcoffset() == offset and after.year < 2038:
        after += timedelta(hours=1)
    return after


def try_all(crontab, instant, zone):
    """The first time after an instant, of all times of the days around it."""
    day = instant.astimezone(zone).date() - timedelta(days=1)
    find = module._fixed if crontab.fixed else module._actual
    found = (
        at
        for n in range(4)
        if crontab.is_on(day + timedelta(days=n))
        for hour in crontab.hours
        for minute in crontab.minutes
        for at in find(datetime.combine(day + timedelta(days=n), time(hour, minute)), zone)
    )
    return min(at for at in found if at > instant)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["* *", "*/7 *", "30 2", "0,59 0,23", "15-20 1-3", "*/20 */2"]),
    st.sampled_from(ZONES),
    st.integers(2009, 2030),
    st.integers(-1500, 300),
)
def test_around_a_jump_nothing_is_skipped_by_being_quick(line, zone, year, minutes):
    """What is not looked at would not have come first."""
    crontab = read_crontab(f"{line} * * *")
    instant = find_jump(datetime(year, 2, 1, tzinfo=UTC), zone) + timedelta(minutes=minutes)
    assert crontab.next_after(instant, zone) == try_all(crontab, instant, zone)


@pytest.mark.parametrize("hour", [0, 12, 23])
def test_a_line_of_every_minute_costs_a_few_conversions(monkeypatch, hour):
    """A daemon asks it twice a second, in every window of maintenance that it has."""
    asked, actual = [], module._actual
    monkeypatch.setattr(module, "_actual", lambda *a: asked.append(a) or actual(*a))
    at = datetime(2026, 6, 1, hour, 59, 30, tzinfo=UTC)
    assert read_crontab("* * * * *").next_after(at, BERLIN) == at + timedelta(seconds=30)
    assert len(asked) < 10


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("0 0 13 * 5", "2026-12-04T00:00"),  # either: the Friday comes before the 13th
        ("0 0 13 * *", "2026-12-13T00:00"),
        ("0 0 */13 * 5", "2027-01-01T00:00"),  # begins with a star: both; the 1st, 14th or 27th
        ("0 0 1 * */5", "2027-01-01T00:00"),  # both: the first and Sunday or Friday
        ("30 4 29 feb *", "2028-02-29T04:30"),
        ("59 23 31 DEC *", "2026-12-31T23:59"),
        ("@hourly", "2026-11-30T01:00"),
        ("@daily", "2026-12-01T00:00"),
        ("@midnight", "2026-12-01T00:00"),
        ("@weekly", "2026-12-06T00:00"),
        ("@monthly", "2026-12-01T00:00"),
        ("@yearly", "2027-01-01T00:00"),
        ("@annually", "2027-01-01T00:00"),
        ("\t*/15  *\t* * * ", "2026-11-30T00:15"),
    ],
)
def test_what_a_line_means(line, first):
    """Day of month or day of week when both are restricted, names, macros, blanks."""
    assert runs(line, MONDAY, 1) == [datetime.fromisoformat(first).replace(tzinfo=UTC)]


def test_a_day_that_comes_once_in_forty_years():
    """29 February on a Sunday: 2088 is the last before 2128."""
    line = "0 0 29 2 */7"
    assert runs(line, datetime(2089, 1, 1, tzinfo=UTC), 1)[0].date().isoformat() == "2128-02-29"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("@reboot", "@reboot is no time; name one, such as @daily"),
        ("@always", "@always is none of @annually"),
        ("* * * *", "4 fields, there are five"),
        ("0 * * * * *", "6 fields, there are five"),
        ("60 * * * *", "minute '60' is not 0 to 59"),
        ("* 24 * * *", "hour '24' is not 0 to 23"),
        ("* * 0 * *", "day of month '0' is not 1 to 31"),
        ("* * * 13 *", "month '13' is not 1 to 12 or jan"),
        ("* * * * 8", "day of week '8' is not 0 to 7 or sun"),
        ("* * * * monday", "day of week 'monday' is not"),
        ("jan * * * *", "minute 'jan' is not"),
        ("5/15 * * * *", "a step needs a range, write 5-59/15"),
        ("*/0 * * * *", "a step is a number from 1"),
        ("*/x * * * *", "a step is a number from 1"),
        ("*/61 * * * *", "a step of 61 leads out of 0 to 59, write 0"),
        ("*/60 * * * *", "a step of 60 leads out of 0 to 59, write 0"),
        ("0 0 * */12 *", "a step of 12 leads out of 1 to 12, write 1"),
        ("* * * * fri-sun", "runs backwards: Sunday at its end is 7"),
        ("30-10 * * * *", "runs backwards; write two ranges"),
        ("0 0 L * *", "day of month 'L' is not"),
        ("0 0 ? * MON", "day of month '?' is not"),
        ("0 0 * * 5#2", "day of week '5#2' is not"),
        ("0 0 30 2 *", "no such day ever comes"),
        ("1,,2 * * * *", "minute '' is not"),
        ("-5 * * * *", "minute '' is not"),
        ("٣ * * * *", "is not 0 to 59"),
        ("", "0 fields"),
    ],
)  # fmt: skip
def test_what_is_no_line_of_crontab_is_refused(line, says):
    """With the field that is wrong, and what to write where that is known."""
    with pytest.raises(ValueError, match=re.escape(says)):
        read_crontab(line)


# -- daylight saving: cron(8) ----------------------------------------------------------------------


def local(line: str, after: str, count: int, zone=BERLIN) -> list[str]:
    begin = datetime.fromisoformat(after).replace(tzinfo=zone)
    return [f"{at.astimezone(zone):%d %H:%M %z}" for at in runs(line, begin, count, zone)]


def test_a_fixed_time_that_the_spring_skips_comes_right_after_the_jump():
    """02:30 does not exist on 29 March 2026: it is done at 03:00 summer time, and once."""
    assert local("30 2 * * *", "2026-03-28T12:00", 2) == ["29 03:00 +0200", "30 02:30 +0200"]
    assert local("0,30 2 * * *", "2026-03-28T12:00", 2) == ["29 03:00 +0200", "30 02:00 +0200"]


def test_a_fixed_time_that_the_autumn_repeats_comes_once():
    """02:30 is shown twice on 25 October 2026: the first time counts."""
    assert local("30 2 * * *", "2026-10-24T12:00", 2) == ["25 02:30 +0200", "26 02:30 +0100"]


def test_what_comes_every_so_often_follows_the_clock_on_the_wall():
    """`*` in minute or hour: every half hour stays every half hour, through both changes."""
    assert local("*/30 * * * *", "2026-03-29T01:30", 2) == ["29 03:00 +0200", "29 03:30 +0200"]
    assert local("0 * * * *", "2026-10-25T01:30", 3) == [
        "25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100",
    ]  # fmt: skip


def test_a_jump_over_midnight_and_one_over_a_day():
    """Beirut skips the midnight of 29 March 2026; Apia skipped 30 December 2011: a correction."""
    beirut, apia = ZoneInfo("Asia/Beirut"), ZoneInfo("Pacific/Apia")
    assert local("30 0 * * *", "2026-03-28T12:00", 2, beirut) == [
        "29 01:00 +0300",
        "30 00:30 +0300",
    ]
    assert local("30 2 30 12 *", "2011-12-01T00:00", 1, apia) == ["30 02:30 +1400"]
    assert runs("30 2 30 12 *", datetime(2011, 12, 1, tzinfo=UTC), 1, apia)[0].year == 2012


def test_every_macro_is_a_line():
    """What a macro stands for is read like any other line."""
    assert {read_crontab(word) == read_crontab(line) for word, line in MACROS.items()} == {True}
