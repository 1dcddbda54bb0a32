"""Counters of many streams as few series: what leaves stays counted, nothing goes back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.bus.delivery.fleet import (
    GROUP_COUNTERS,
    STREAM_COUNTERS,
    Standing,
    Totals,
    describe_gauges,
)
from sentinel.core.bus.delivery.group import DELIVERY_OUTCOMES, OUTCOMES
from sentinel.core.bus.delivery.lineage import REASONS
from sentinel.core.bus.delivery.stream import NOTHING
from sentinel.core.quantity import Bounds

KEY = ("s:*", "g")


def counts(names: tuple[str, ...], **given: int) -> tuple[int, ...]:
    """Zero but for those given."""
    return tuple(given.get(name, 0) for name in names)


def test_what_a_stream_contributes_may_change_and_leave():
    """Twice published, then gone: the sum is what it was without it."""
    totals = Totals()
    first, second = (counts(STREAM_COUNTERS, published_total=n) for n in (5, 8))
    totals.shift_stream("s:*", (), first)
    totals.shift_stream("s:*", first, second)
    assert totals.streams["s:*"]["published_total"] == 8
    totals.shift_stream("s:*", second, ())
    assert set(totals.streams["s:*"].values()) == {0}


def test_label_sets_exist_at_zero():
    """So that the first increase is seen as one."""
    totals = Totals()
    totals.touch(["s:*", "t:*"], ["g"])
    assert set(totals.streams) == {"s:*", "t:*"}
    assert set(totals.groups) == {("s:*", "g"), ("t:*", "g")}
    assert {value for row in totals.rows() for value in row.values.values()} == {0.0}


def test_touching_takes_nothing_away():
    """What is counted stays."""
    totals = Totals()
    totals.shift_stream("s:*", (), counts(STREAM_COUNTERS, published_total=5))
    totals.touch(["s:*"], [])
    assert totals.streams["s:*"]["published_total"] == 5


def test_rows_have_a_series_for_each_outcome_and_reason():
    """With stable labels, whatever has happened."""
    totals = Totals()
    totals.shift_stream("s:*", (), counts(STREAM_COUNTERS, removed_entries_total=3, gone=1))
    totals.shift_group(KEY, (), counts(GROUP_COUNTERS, acked=7, deliver_delivered=9))
    series = {
        (name, *sorted(row.labels.values())): value
        for row in totals.rows()
        for name, value in row.values.items()
    }
    assert len(series) == 6 + len(REASONS) + len(OUTCOMES) + len(DELIVERY_OUTCOMES)
    assert {key: value for key, value in series.items() if value} == {
        ("removed_entries_total", "s:*"): 3.0,
        ("stream_resets_total", "gone", "s:*"): 1.0,
        ("settled_total", "acked", "g", "s:*"): 7.0,
        ("delivery_settled_total", "delivered", "g", "s:*"): 9.0,
    }


def test_a_copy_is_independent():
    """Of streams and groups."""
    totals = Totals()
    totals.touch(["s:*"], ["g"])
    copy = totals.copy()
    totals.shift_group(KEY, (), counts(GROUP_COUNTERS, acked=1))
    totals.shift_stream("s:*", (), counts(STREAM_COUNTERS, published_total=1))
    assert copy.groups[KEY]["acked"] == copy.streams["s:*"]["published_total"] == 0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["s:*", "t:*"]),
        st.lists(st.integers(0, 9), min_size=len(GROUP_COUNTERS), max_size=len(GROUP_COUNTERS)),
    ),
    max_size=15,
)


@given(STEPS)
def test_sums_are_those_of_the_latest_contributions(steps):
    """However often each group moved, and in whatever order."""
    totals, latest = Totals(), {}
    for name, label, numbers in steps:
        now = tuple(numbers)
        totals.shift_group((label, "g"), latest.get((name, label), ()), now)
        latest[name, label] = now
    for label in {label for _, label in latest}:
        mine = [numbers for (_, its), numbers in latest.items() if its == label]
        expected = dict(zip(GROUP_COUNTERS, map(sum, zip(*mine, strict=True)), strict=True))
        assert totals.groups[label, "g"] == expected


@given(STEPS, STEPS)
def test_merging_adds_and_survives_a_restart(one, other):
    """Each counter of both, also of labels that only one has."""
    parts = []
    for steps in (one, other):
        totals = Totals()
        for _, label, numbers in steps:
            totals.shift_group((label, "g"), (), tuple(numbers))
        parts.append(totals)
    merged = parts[0].copy()
    merged.merge(Totals.load(json.loads(json.dumps(parts[1].dump()))))
    for key in {*parts[0].groups, *parts[1].groups}:
        for name in GROUP_COUNTERS:
            both = [part.groups.get(key, {}).get(name, 0) for part in parts]
            assert merged.groups[key][name] == sum(both)


def standing(waiting=NOTHING, pending=0, overdue=0, waits=None, pends=None, room=0, left=None):
    """One group on one stream."""
    return Standing("s", "g", waiting, pending, overdue, waits, pends, room, left)


def test_gauges_of_several_groups():
    """Sums of entries, the oldest ages, the least room; that of groups that rest counts, too."""
    found = [
        standing(Bounds(2, 3), 4, 1, waits=9.0, pends=None, room=50, left=5.0),
        standing(Bounds(1, 1), 2, 2, waits=30.0, pends=7.0, room=40),
        standing(pends=3.0, room=60, left=8.0),
    ]
    assert describe_gauges(found, 45, 6.0) == {
        "waiting_entries": 4.0,
        "waiting_exact": 0.0,
        "oldest_waiting_age_seconds": 30.0,
        "pending_entries": 6.0,
        "oldest_pending_age_seconds": 7.0,
        "pending_overdue_entries": 3.0,
        "trim_headroom_entries": 40.0,
        "trim_headroom_seconds": 5.0,
    }
    assert describe_gauges(found, 30, 2.0)["trim_headroom_entries"] == 30.0
    assert describe_gauges(found, 30, 2.0)["trim_headroom_seconds"] == 2.0


def test_gauges_of_groups_that_all_rest():
    """Nothing waits, exactly; without a rate nobody knows for how long the room lasts."""
    found = describe_gauges([], 12, None)
    assert (found["waiting_entries"], found["waiting_exact"]) == (0.0, 1.0)
    assert (found["oldest_waiting_age_seconds"], found["oldest_pending_age_seconds"]) == (0.0, 0.0)
    assert found["trim_headroom_entries"] == 12.0
    assert "trim_headroom_seconds" not in found


@pytest.mark.parametrize("names", [STREAM_COUNTERS, GROUP_COUNTERS])
def test_names_of_counters_are_unique(names):
    """Two outcomes of the deadlines share their words: as counters they are told apart."""
    assert len(set(names)) == len(names)
