"""The share of runs that were due and seen: by minute, over an hour."""

from __future__ import annotations

from sentinel.engine.coverage import Coverage
from tests.unit.engine.conftest import Clock


def test_nothing_due_is_nothing_missed(clock: Clock) -> None:
    """Before the first run."""
    assert Coverage(clock.monotonic).ratio() == 1.0


def test_seen_of_what_was_due(clock: Clock) -> None:
    """A skipped slot was due and not seen."""
    coverage = Coverage(clock.monotonic)
    coverage.note(due=3, seen=3)
    coverage.note_skipped(1)
    assert coverage.ratio() == 0.75


def test_an_hour_is_remembered(clock: Clock) -> None:
    """At its end it still counts, a second later it does not."""
    coverage = Coverage(clock.monotonic)
    coverage.note_skipped(1)
    clock.now += 3600
    coverage.note(due=1, seen=1)
    assert coverage.ratio() == 0.5
    clock.now += 1
    coverage.note(due=1, seen=1)
    assert coverage.ratio() == 1.0


def test_runs_are_kept_by_minute(clock: Clock) -> None:
    """So that memory is bounded however often checks run."""
    coverage = Coverage(clock.monotonic)
    for _ in range(7200):
        coverage.note(due=1, seen=1)
        clock.now += 1
    assert len(coverage._buckets) <= 61
    assert [due for _, due, _ in coverage._buckets] == [60] * len(coverage._buckets)
