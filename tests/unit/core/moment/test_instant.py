"""Instants that no change of the wall clock moves, and times as platforms write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.moment import Moment, from_unix, is_time, read_instant, read_moment, write_moment

T0 = datetime(2026, 1, 5, 12, tzinfo=UTC)
UNIX = T0.timestamp()


def moment(seconds: float, boot: str = "b1", uptime: float | None = None) -> Moment:
    """T0 + seconds by the wall clock, at this uptime."""
    return Moment(T0 + timedelta(seconds=seconds), boot, uptime)


@pytest.mark.parametrize(
    ("earlier", "later", "seconds"),
    [
        (moment(0, uptime=10), moment(60, uptime=70), 60.0),
        (moment(0, uptime=10), moment(-3600, uptime=70), 60.0),
        (moment(0, uptime=10), moment(86400, uptime=11), 1.0),
        (moment(0, uptime=70), moment(60, uptime=10), 0.0),
        (moment(0, "b1", 500), moment(60, "b2", 5), 60.0),
        (moment(60, "b1", 500), moment(0, "b2", 5), 0.0),
        (moment(0, "", 10), moment(60, "", 11), 60.0),
        (moment(0, uptime=None), moment(60, uptime=10), 60.0),
        (moment(0, uptime=10), moment(60, uptime=None), 60.0),
    ],
)
def test_time_between_two_moments(earlier, later, seconds):
    """By uptime within one boot, whatever the date says; by the date otherwise; never negative."""
    assert later.seconds_since(earlier) == seconds


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.integers(-(10**6), 10**6))
def test_setting_the_date_refills_nothing(before, after, shift):
    """Within a boot only the uptime counts."""
    earlier, later = moment(0, uptime=before), moment(shift, uptime=after)
    assert later.seconds_since(earlier) == max(after - before, 0.0)


@pytest.mark.parametrize(
    "value",
    [
        UNIX,
        int(UNIX),
        str(int(UNIX)),
        UNIX * 1000,
        f"{UNIX * 1000:.0f}",
        "2026-01-05T12:00:00+00:00",
        "2026-01-05T12:00:00Z",
        "2026-01-05 12:00:00",
        " 2026-01-05T14:00:00+02:00 ",
        datetime(2026, 1, 5, 14, tzinfo=timezone(timedelta(hours=2))),
        datetime(2026, 1, 5, 12),  # noqa: DTZ001 - a naive time is what it is about
    ],
)
def test_one_instant_in_every_writing(value):
    """Seconds, milliseconds, ISO 8601; without a zone it is UTC."""
    assert read_instant(value) == UNIX


@pytest.mark.parametrize(
    "value",
    [None, True, False, "", "soon", "nan", "inf", 0, -1, 978_307_199, 1e14, "1e400", [], "12:00"],
)
def test_what_is_no_instant(value):
    """Neither numbers of another meaning nor words."""
    assert read_instant(value) is None


@pytest.mark.parametrize(
    ("seconds", "known"),
    [(978_307_199.9, False), (978_307_200.0, True), (99_999_999_999.0, True), (1e11, False)],
)
def test_what_can_be_a_time(seconds, known):
    """From 2001 on, below where milliseconds begin."""
    assert is_time(seconds) is known


@given(st.integers(978_307_200, 4_000_000_000))
def test_seconds_and_milliseconds_are_told_apart(seconds):
    """Both writings of any second from 2001 to 2096 are the same instant."""
    assert read_instant(seconds) == read_instant(seconds * 1000) == seconds


@pytest.mark.parametrize(
    ("seconds", "at"),
    [
        (UNIX, T0),
        (978_307_200.0, datetime(2001, 1, 1, tzinfo=UTC)),
        (978_307_199.0, None),
        (0.0, None),
        (1e11, None),
        (float("inf"), None),
        (float("-inf"), None),
        (float("nan"), None),
    ],
)
def test_unix_seconds(seconds, at):
    """Aware UTC of what can be an instant of a platform that runs, None of all else."""
    assert from_unix(seconds) == at


@pytest.mark.parametrize(
    ("given", "now", "meant"),
    [
        (moment(0, uptime=10), moment(60, uptime=70), True),
        (moment(0, uptime=10), moment(60, uptime=71), False),
        (moment(0, uptime=10), moment(3600, uptime=11), True),  # the date was set forward
        (moment(0, uptime=10), moment(-3600, uptime=11), True),  # and back
        (moment(0, uptime=10), moment(-3600, uptime=3610), False),
        (moment(0, "b1", 10), moment(1, "b2", 5), False),  # the machine was started anew
        (moment(0, "", None), moment(60, "b1", 5), True),  # nobody knows the boot: by the wall
        (moment(0, "", None), moment(61, "b1", 5), False),
        (moment(3600, "", None), moment(0, "b1", 5), False),  # of a time that is still to come
    ],
)
def test_whether_an_order_still_holds(given, now, meant):
    """For a minute by uptime, whatever the wall shows; never over a reboot."""
    assert now.is_meant_until(given, 60.0) is meant


def test_the_clock_that_wrote_something():
    """Its time goes on with the uptime; over a reboot what the wall shows is all that is left."""
    beat = moment(0, "b1", 100.0)
    assert moment(3605, "b1", 105.0).show(beat) == moment(5).at
    assert moment(3605, "b2", 5.0).show(beat) == moment(3605).at
    assert moment(3605, "", 105.0).show(moment(0, "", 100.0)) == moment(3605).at


def test_which_came_first():
    """By uptime in one boot, else by the wall."""
    assert moment(-3600, uptime=11).is_after(moment(0, uptime=10))
    assert not moment(3600, uptime=10).is_after(moment(0, uptime=11))
    assert moment(1, "b2", 1).is_after(moment(0, "b1", 500))


def test_a_moment_is_one_word():
    """As it is written it is read; a bare instant of an older sentinel is one, too."""
    at = moment(5, "b1", 7.25)
    assert read_moment(write_moment(at)) == at
    assert read_moment(at.at.isoformat()) == Moment(at.at, "", None)
