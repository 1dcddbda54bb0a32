"""The newest time of a column over several looks."""

from __future__ import annotations

import pytest

from sentinel.core.moment.arrival import NewestTime

NOW, HOUR = 1_700_000_000.0, 3600.0


def looks(*steps: tuple[float | None, float]) -> float | None:
    """(newest, seconds after the first look) …; what is told after the last."""
    watch, off = NewestTime(), None
    for newest, after in steps:
        off = watch.see(None if newest is None else NOW + newest, NOW + after)
    return off


@pytest.mark.parametrize(
    ("steps", "off"),
    [
        ([(None, 0)], None),
        ([(-8 * HOUR, 0)], None),
        ([(-8 * HOUR, 0), (-8 * HOUR, 30)], None),
        ([(-8 * HOUR, 0), (-8 * HOUR + 25, 30)], -8 * HOUR),
        ([(None, 0), (-8 * HOUR + 25, 30)], -8 * HOUR),
        ([(-9 * HOUR, 0), (-8 * HOUR + 25, 30)], -8 * HOUR),
        ([(-0.1, 0), (29, 30)], None),
        ([(9 * HOUR, 0)], 9 * HOUR),
        ([(9 * HOUR - 61, 0)], 9 * HOUR),
        ([(9 * HOUR - 61, 0), (9 * HOUR - 61, 3600)], 9 * HOUR),
        ([(9 * HOUR - 61, 0), (9 * HOUR + 20, 30)], 9 * HOUR),
        ([(400, 0), (420, 30)], 390),
        ([(9 * HOUR, 0), (25, 30)], 9 * HOUR),
    ],
)
def test_what_the_newest_time_tells(steps: list[tuple[float, float]], off: float | None) -> None:
    """Quiet is no offset; ahead is one at once, behind when a row comes old; a row that is deleted
    or no newer than known ones tells nothing.
    """
    assert looks(*steps) == off


def test_a_clock_that_was_set_right_is_forgiven() -> None:
    """As soon as a newer row bears a time that can be."""
    assert looks((HOUR, 0), (HOUR + 20, 3700)) is None


def test_in_another_zone_it_begins_anew() -> None:
    """A zone that was declared meanwhile moves all times, and nothing came."""
    watch = NewestTime()
    assert watch.see(NOW + 9 * HOUR, NOW, "UTC") == 9 * HOUR
    assert watch.see(NOW, NOW + 30, "Asia/Tokyo") is None
    assert watch.see(NOW - 8 * HOUR, NOW + 60, "America/Los_Angeles") is None


def test_a_late_row_is_no_other_zone() -> None:
    """Rows that become visible minutes after their time are late, and no quarter of an hour off."""
    assert looks((-600, 0), (-200, 30)) is None
