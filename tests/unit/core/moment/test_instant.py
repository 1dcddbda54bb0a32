"""Instants that no change of the wall clock moves, and times as platforms write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.moment import Moment, from_unix, is_time, read_instant

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
