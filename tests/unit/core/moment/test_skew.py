"""The one screen for times: what is another zone's or another clock's, and what is fine."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.moment.skew import (
    Basis,
    ColumnClock,
    Skew,
    SkewTally,
    find_arrival_offset,
    find_offset,
    screen_span,
    suspect_zone,
    tell_cure,
    tell_skew,
)
from sentinel.core.moment.zone import offset_at, wall_of

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp()
HOUR = 3600.0
ZONES = ("UTC", "Europe/Athens", "America/Los_Angeles", "Asia/Kathmandu", "Asia/Tokyo")
CREATED = ColumnClock("tasks.created_at", Basis.DISAGREED, "UTC", ("Europe/Athens",), "roles")


@pytest.mark.parametrize(
    ("began", "ended", "skew"),
    [
        (-10, -9.8, Skew.FINE),
        (-10, -10, Skew.FINE),
        (-10, -10.1, Skew.NEGATIVE),
        (-10, 4.9, Skew.FINE),
        (-10, 5.1, Skew.AHEAD),
        (2 * HOUR, 2 * HOUR + 1, Skew.AHEAD),
        (-9 * HOUR, -HOUR + 0.3, Skew.OFFSET),
        (-9 * HOUR, -9 * HOUR + 1588, Skew.FINE),
        (-9 * HOUR, -9 * HOUR + 1800, Skew.FINE),
        (-9 * HOUR, -9 * HOUR + 20700.2, Skew.OFFSET),
        (-9 * HOUR, -9 * HOUR + 7000, Skew.FINE),
    ],
)
def test_spans(began, ended, skew):
    """Seconds before and after now, and what the screen says."""
    assert screen_span(NOW + began, NOW + ended, NOW) is skew


@pytest.mark.parametrize(
    ("seconds", "offset"),
    [
        (0, None),
        (900, None),
        (1799, 1800),
        (1806, None),
        (-7198, -7200),
        (20699, 20700),
        (1e6, None),
    ],
)
def test_offsets_of_zones(seconds, offset):
    """Quarters of an hour, from half an hour to 26 h, 5 s to either side."""
    assert find_offset(seconds) == offset


def test_random_writers_are_found():
    """Writers in random zones whose rows are read as UTC, some of them visible late: the offset of
    each that lies apart is found, and nobody's who is right.
    """
    dice = random.Random(11)
    for _ in range(3000):
        now = NOW + dice.uniform(0, 3e7)
        since = now - dice.choice((1.0, 10.0, 60.0))
        written = dice.uniform(since, now)
        zone = dice.choice(ZONES)
        at = wall_of(written, zone).replace(tzinfo=UTC).timestamp()
        assert (find_arrival_offset(at, since, now) or 0.0) == offset_at(zone, written)


@given(st.floats(1.2e9, 2e9), st.sampled_from(ZONES), st.sampled_from(ZONES))
def test_one_of_the_readings_is_the_instant(written, zone, other):
    """Of all zones that a column may be in, the right one is among them; the earliest comes first."""
    clock = ColumnClock("t.c", Basis.DISAGREED, other, tuple({zone} - {other}), "roles")
    readings = clock.read(wall_of(written, zone))
    assert min(abs(each - written) for each in readings) < 1e-3
    assert list(readings) == sorted(readings)


def test_the_zone_that_is_suspected_has_a_name():
    """One of the catalog's where one fits, else the offset; never for what is no whole offset."""
    assert suspect_zone(CREATED, 2 * HOUR, NOW) == "Europe/Athens"
    assert suspect_zone(CREATED, -8 * HOUR, NOW) == "UTC-8"
    tokyo = ColumnClock("t.c", Basis.DISCOVERED, "Asia/Tokyo", ("UTC",))
    assert suspect_zone(tokyo, -9 * HOUR, NOW) == "UTC"
    assert tell_skew(CREATED, 2 * HOUR, NOW) == (
        "times of tasks.created_at are 2 h ahead of the server's clock: they look like Europe/Athens"
    )
    assert tell_skew(CREATED, -8 * HOUR, NOW) == (
        "times of tasks.created_at are 8 h behind the server's clock: they look like UTC-8"
    )
    assert tell_skew(CREATED, 37.0, NOW) == (
        "times of tasks.created_at are 37.0 s ahead of the server's clock"
    )


def test_the_cure_is_one_that_helps():
    """A declared zone is corrected, not declared; a type with a zone needs none."""
    assert "declare `zone:`" in tell_cure(CREATED)
    assert "correct `zone:`" in tell_cure(ColumnClock("t.c", Basis.DECLARED, "Asia/Tokyo"))
    assert "`zone:`" not in tell_cure(ColumnClock("t.c", Basis.TYPED))


def test_few_skewed_rows_do_not_matter():
    """They matter when they could turn a verdict that allows a share of bad rows."""
    tally = SkewTally()
    assert not tally.matters(0.01)
    tally.note(Skew.FINE, n=990)
    tally.note(Skew.AHEAD, 2 * HOUR + 0.3, n=9)
    assert not tally.matters(0.01)
    tally.note(Skew.OFFSET, -8 * HOUR, n=3)
    assert tally.matters(0.01)
    assert (tally.fine, tally.skewed, tally.off) == (990, 12, 2 * HOUR)
