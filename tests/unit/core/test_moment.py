"""Instants: what is one, and what only looks like it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.moment import Moment, from_unix, is_time

AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "at"),
    [
        (1_767_225_600.0, AT),
        (978_307_200.0, datetime(2001, 1, 1, tzinfo=UTC)),
        (978_307_199.0, None),
        (0.0, None),
        (1e11, None),
        (float("inf"), None),
        (float("-inf"), None),
        (float("nan"), None),
    ],
)
def test_unix_seconds(seconds: float, at: datetime | None) -> None:
    """Aware UTC of what can be an instant of a platform that runs, None of all else."""
    assert from_unix(seconds) == at
    assert is_time(seconds) is (at is not None)


def test_seconds_between_moments() -> None:
    """By uptime within one boot, whatever the wall clock does; by the wall clock over a reboot."""
    first = Moment(AT, "x", 100.0)
    later = AT + timedelta(seconds=50)
    assert Moment(later, "x", 107.0).seconds_since(first) == 7.0
    assert Moment(later, "y", 7.0).seconds_since(first) == 50.0
    assert Moment(later).seconds_since(first) == 50.0
    assert first.seconds_since(Moment(later)) == 0.0
    assert Moment(later, "x", 90.0).seconds_since(first) == 0.0
