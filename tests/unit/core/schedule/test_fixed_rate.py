"""When a check runs next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.schedule import SHARDS, first_due, next_due, phase, recheck_delay, shard_of

INTERVALS = st.floats(0.05, 3600)


@pytest.mark.parametrize(
    ("due", "now", "expected"),
    [
        (100.0, 100.0, (110.0, 0)),
        (100.0, 109.9, (110.0, 0)),
        (100.0, 110.0, (120.0, 1)),
        (100.0, 111.0, (120.0, 1)),
        (100.0, 155.0, (160.0, 5)),
    ],
)
def test_the_next_slot_stays_on_the_grid(due, now, expected):
    """A late run does not shift the slots after it; slots that are gone are counted, not caught up."""
    assert next_due(due, 10.0, now) == expected


@given(st.floats(0, 1e6), INTERVALS, st.floats(0, 1e5))
def test_no_drift_and_nothing_in_the_past(due, interval, late):
    """Whatever the delay: the next slot is on the grid, after now, and skipped slots explain the
    distance.
    """
    now = due + late
    following, skipped = next_due(due, interval, now)
    assert following == pytest.approx(due + (skipped + 1) * interval)
    assert following > now - 1e-6
    assert following - now <= interval * (1 + 1e-6) + 1e-6


@given(st.text(min_size=1), INTERVALS)
def test_first_runs_come_within_one_interval(name, interval):
    """Spread over the interval (ten seconds at most), at a place that the name decides."""
    due = first_due(name, interval, 1000.0)
    assert 1000.0 <= due < 1000.0 + min(interval, 10.0) + 1e-9
    assert due == first_due(name, interval, 1000.0)


def test_first_runs_are_spread():
    """A hundred checks do not start at once: no tenth of the interval gets more than a quarter of
    them.
    """
    tenths = [int(first_due(f"check-{i}", 10.0, 0.0)) for i in range(100)]
    assert max(tenths.count(tenth) for tenth in range(10)) <= 25


@pytest.mark.parametrize(
    ("interval", "delay"), [(1.0, 1.0), (2.0, 2.0), (5.0, 2.0), (10.0, 2.0), (60.0, 12.0)]
)
def test_rechecks_come_sooner(interval, delay):
    """max(2 s, interval/5), never slower than the interval."""
    assert recheck_delay(interval) == delay


@given(st.text())
def test_a_name_has_one_place_and_one_shard(name):
    """Both are in range, and the same at each question and in each process."""
    assert 0 <= phase(name) < 1
    assert phase(name) == phase(name)
    assert 0 <= shard_of(name) < SHARDS
    assert shard_of(name) == shard_of(name)


def test_places_and_shards_do_not_change_between_versions():
    """Shards of a running fleet must mean the same after an upgrade."""
    assert [shard_of(name) for name in ("bus", "database", "")] == [1628, 986, 692]


def test_shards_are_spread():
    """Four thousand names fill more than half of the shards, and no shard is crowded."""
    found = [shard_of(f"check-{n}") for n in range(SHARDS)]
    assert len(set(found)) > SHARDS / 2
    assert max(found.count(shard) for shard in set(found)) < 10
