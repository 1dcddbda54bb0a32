"""Windows behind the horizon, censored quantiles, verdicts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.tasks import assignment
from sentinel.core.tasks.assignment import (
    Horizon,
    OddTimes,
    QueueTotals,
    RecentTasks,
    censored_quantile,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def windows(since, held, delay=0.1):
    return list(assignment.due_windows(ago(since), Horizon(NOW, ago(held)), delay))


def test_a_window_ends_one_deadline_before_the_horizon():
    """Counted from the horizon and not from now: an assignment in time may still be uncommitted."""
    (window,) = windows(since=10, held=3, delay=5)
    assert (window.start, window.end) == (ago(10), ago(8))


def test_a_window_keeps_a_second_from_the_horizon():
    """A transaction is stamped before it is shown: with a deadline of 100 ms the window still ends
    a second before.
    """
    (window,) = windows(since=10, held=3, delay=0.1)
    assert window.end == ago(4)


def test_nothing_is_due_before_the_deadline():
    """No empty and no backward window."""
    assert windows(since=4, held=3) == []
    assert windows(since=1, held=3) == []


def test_a_forgotten_transaction_holds_for_a_minute_only():
    """Beyond the cap windows go on."""
    (window,) = windows(since=70, held=500)
    assert window.end == ago(61)


def test_a_long_gap_is_settled_in_pieces():
    """After hours of absence: 15-minute windows without gap or overlap, eight per run."""
    found = windows(since=10 * 3600, held=0)
    assert len(found) == 8
    assert all(a.end == b.start for a, b in pairwise(found))
    assert found[0].start == ago(10 * 3600)


@given(st.lists(st.tuples(st.floats(0, 90), st.floats(0, 400)), max_size=40))
def test_windows_tile_time(steps):
    """Whatever the clock and the horizon do: half-open windows follow each other, so nothing is
    counted twice.
    """
    clock, watermark, tiles = 0.0, NOW, []
    for passed, held in steps:
        clock += passed
        now = NOW + timedelta(seconds=clock)
        for window in assignment.due_windows(
            watermark, Horizon(now, now - timedelta(seconds=held)), 0.1
        ):
            tiles.append(window)
            watermark = window.end
    assert all(tile.start < tile.end for tile in tiles)
    assert all(a.end == b.start for a, b in pairwise(tiles))


@pytest.mark.parametrize(
    ("latencies", "ages", "q", "value"),
    [
        ([], [], 0.99, None),
        ([0.1], [], 0.99, 0.1),
        ([i / 100 for i in range(1, 101)], [], 0.99, 0.99),
        ([i / 100 for i in range(1, 101)], [], 0.5, 0.5),
        ([0.01] * 90, [30.0] * 10, 0.99, 30.0),
        ([0.01] * 90, [30.0] * 10, 0.5, 0.01),
        ([], [7.0, 9.0], 0.5, 7.0),
    ],
)
def test_quantiles_count_open_tasks_by_their_age(latencies, ages, q, value):
    """A hung assigner can't hide: open ages are in, nearest rank, None of nothing."""
    assert censored_quantile(latencies, ages, q) == value


def test_the_last_minute():
    """Older entries are forgotten, empty windows leave no entry, skewed ones are apart."""
    recent = RecentTasks()
    recent.add(100.0, {"in_deadline": 5, "late": 1, "unassigned": 2})
    recent.add(130.0, {"in_deadline": 1, "negative": 2, "offset": 1, "censored": 9})
    recent.add(131.0, {})
    assert recent.count(131.0) == (6, 9, 3)
    recent = RecentTasks(json.loads(json.dumps(recent.dump())))
    assert recent.count(165.0) == (1, 1, 3)
    assert len(recent.dump()) == 1


def test_totals_of_a_queue_survive_the_document():
    """Buckets add up; a fresh queue has a histogram of zeros."""
    bounds = assignment.usable_bounds(0.2, 1.0)
    assert bounds == (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0)
    totals = QueueTotals()
    assert totals.histogram(bounds).counts == (0,) * 9
    totals.observe([1] * 9, 2, 1.5)
    totals.observe([0] * 8 + [1], 1, 0.5)
    again = QueueTotals(**json.loads(json.dumps(totals.dump()))).histogram(bounds)
    assert (again.counts[-1], again.total, again.sum) == (2, 3, 2.0)


def test_the_horizon_is_capped():
    """A forgotten BEGIN holds it for a minute; a fresh one as long as it lasts."""
    old, young = Horizon(NOW, ago(500)), Horizon(NOW, ago(5))
    assert (old.capped, old.hold) == (ago(60), 500.0)
    assert (young.capped, young.hold) == (ago(5), 5.0)
    assert assignment.due_until(young, 10.0) == ago(15)
    assert assignment.due_until(young, 0.1) == ago(6), "a second at least"


def test_a_histogram_grows_by_single_values():
    """The sum takes at most the cap of each; an infinite wait is in no bucket."""
    buckets = assignment.Buckets()
    for seconds in (0.1, 0.5, float("inf")):
        buckets.add(seconds, (0.1, 1.0), cap=60.0)
    found = buckets.histogram((0.1, 1.0))
    assert (found.counts, found.total, found.sum) == ((1, 2), 3, 60.6)
    buckets.reset()
    assert buckets.histogram((0.1,)).counts == (0,)


def test_totals_of_a_stage_survive_the_document():
    """With what had not ended, and what came from another clock."""
    totals = assignment.StageTotals([1, 2], 3, 4.5, 6, 7)
    again = assignment.StageTotals(**json.loads(json.dumps(totals.dump())))
    assert again == totals


def test_marks_of_inserted_rows_are_bounded():
    """As many as a long deadline needs."""
    inserted = assignment.Inserted()
    for n in range(200):
        inserted.note(float(n), n, 0)
    assert len(inserted.marks) == 61
    assert inserted.marks[-1] == (199.0, 199, 0)


@pytest.mark.parametrize(
    ("deadline", "settle_after", "first", "last"),
    [(0.1, 60.0, 0.005, 60.0), (30.0, 10.0, 0.005, 10.0), (0.002, 0.1, 0.002, 0.1)],
)
def test_edges_that_settle_in_time(deadline, settle_after, first, last):
    """The deadline is one of them, where it settles at all."""
    bounds = assignment.usable_bounds(deadline, settle_after)
    assert (bounds[0], bounds[-1]) == (first, last)
    assert (deadline in bounds) is (deadline <= settle_after)
    assert list(bounds) == sorted(set(bounds))


def test_most_odd_times_of_the_last_minutes():
    """By column and offset; a difference of zones says more than any other; old ones are forgotten."""
    odd = OddTimes()
    assert odd.most(1000.0) is None
    odd.note(1000.0, "created_at", 0.0, 50)
    odd.note(1000.0, "created_at", 7200.0, 3)
    odd.note(1001.0, "assigned_at", -28800.0, 2)
    odd.note(1002.0, "assigned_at", -28800.0, 2)
    assert odd.most(1002.0) == ("assigned_at", -28800.0)
    assert odd.offsets(1002.0, "created_at") == {7200.0}
    assert odd.most(1121.5) == ("assigned_at", -28800.0)
    assert odd.most(1200.0) is None
