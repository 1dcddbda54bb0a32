"""Servers that do not count (Redis 6.2): what can be listed, and how much may be unseen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.bus.delivery.cohort import Answer
from sentinel.core.bus.delivery.legacy import complete_view, count_new, judge_last
from sentinel.core.bus.delivery.stream import ZERO, StreamView

BEFORE = StreamView(1.0, added=20, length=10, last=(20, 0), first=(11, 0), legacy=True)


def later(**changes) -> StreamView:
    """The next snapshot, as the server tells it: without a count."""
    return replace(BEFORE, now=2.0, added=0, **changes)


def listed(*ids: int, full: bool = False) -> Answer:
    """Entries behind the last one known."""
    return Answer(tuple((each, 0) for each in ids), full)


@pytest.mark.parametrize(
    ("view", "fresh", "removed", "new"),
    [
        (later(), None, True, 0),
        (later(last=(19, 0)), None, True, 0),
        (later(last=(25, 0), length=12), listed(21, 25), True, 2),
        (later(last=(25, 0), length=12), listed(21, 25, 26), True, 2),
        (later(last=(25, 0), length=12, last_gone=True), listed(21), True, 2),
        (later(last=(25, 0), length=12), listed(21, 25, full=True), True, None),
        (later(last=(25, 0), length=12), None, False, 2),
        (later(last=(25, 0), length=12), None, True, None),
        (later(last=(25, 0), length=8, first=(13, 0)), None, False, None),
        (later(last=(25, 0), length=3, first=(23, 0)), None, True, 3),
        (later(last=(25, 0), length=0, first=ZERO, last_gone=True), None, True, 1),
    ],
)
def test_entries_that_came(view, fresh, removed, new):
    """Listed, or told by the length where nothing can have been removed; else nobody knows."""
    assert count_new(view, BEFORE, fresh, removed=removed) == new


def complete(view: StreamView, new: int | None, before: StreamView | None = BEFORE, **given):
    """The completed snapshot, after a quiet time."""
    facts = {"removed": False, "swapped": False, "spare": 0} | given
    return complete_view(view, before, new, **facts)


def test_the_first_snapshot_counts_what_is_there():
    """And the newest entry, although it is gone: its id was given."""
    assert complete(later(), None, None).added == 10
    gone = complete(later(last_gone=True), None, None)
    assert (gone.added, gone.max_deleted) == (11, (20, 0))


def test_a_plain_step_adds_what_came():
    """Nothing unseen, nothing in doubt."""
    found = complete(later(last=(25, 0), length=12), 2, spare=7)
    assert (found.added, found.unseen, found.counted, found.doubtful) == (22, 0, True, False)


@pytest.mark.parametrize(
    ("changes", "facts", "unseen"),
    [
        ({}, {"removed": True, "spare": 3}, 3),
        ({}, {"removed": True, "spare": -1}, 0),
        ({"first": (21, 0)}, {"spare": 3}, 3),
        ({"length": 0, "first": ZERO}, {"spare": 3}, 3),
        ({"length": 1, "first": (20, 0), "last_gone": True}, {"spare": 3}, 0),
        ({}, {"spare": 3}, 0),
        ({"last": (20, 0)}, {"removed": True, "spare": 3}, 0),
    ],
)
def test_what_may_have_come_and_gone(changes, facts, unseen):
    """Only where XDEL ran, or where nothing older is left; at most what XADD ran more often."""
    view = later(**({"last": (25, 0), "length": 12} | changes))
    assert complete(view, 2, **facts).unseen == unseen


@pytest.mark.parametrize(
    ("changes", "new", "facts"),
    [
        ({"last": (19, 0)}, 0, {}),
        ({}, None, {}),
        ({"first": (21, 0)}, 2, {"spare": None}),
        ({"last_gone": True}, 2, {"swapped": True}),
    ],
)
def test_what_can_not_be_counted_is_said(changes, new, facts):
    """Went back, not listed, unknown, or perhaps another stream: no rank is claimed."""
    view = later(**({"last": (25, 0), "length": 12} | changes))
    found = complete(view, new, **facts)
    assert not found.counted
    assert found.added == 20


def test_a_swap_leaves_doubt():
    """It may be another stream of that name, unless the newest entry is known to be there: then a
    state of it from elsewhere. Where nothing of it is known no rank is claimed.
    """
    found = complete(later(last=(25, 0), length=12, kept=True), 2, swapped=True)
    assert (found.counted, found.doubtful) == (True, True)
    assert not complete(later(last=(25, 0), length=12), 2, swapped=True).counted


def test_a_last_id_that_was_made_up_is_no_entry():
    """XSETID ran, and nobody XDEL: the newest entry is the one that is there."""
    before = complete_view(
        replace(later(), last=(20, 0)), None, 0, removed=False, swapped=False, spare=0
    )
    made_up = later(last=(99, 0), last_gone=True, newest=(20, 0), renumbers=1)
    found = judge_last(made_up, before)
    assert (found.end, found.last_gone) == ((20, 0), False)
    assert judge_last(replace(made_up, renumbers=0), before).end == (99, 0)


def test_deletions_reach_up_to_the_newest_entry():
    """XDEL tells not what it deleted: it may be anything."""
    view = later(last=(25, 0), length=12)
    assert complete(view, 2, removed=True).max_deleted == (25, 0)
    assert complete(view, 2).max_deleted == ZERO


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_without_deletions_every_entry_is_counted(rounds):
    """Publish and trim, but never all of what was known: the count is exact at each look."""
    live, published, view = [1], 1, None
    for more, less in rounds:
        before = view
        live += range(published + 1, published + more + 1)
        published += more
        keep = before.last[0] if before else 1
        live = [each for each in live if each >= min(live[0] + less, keep)]
        seen = StreamView(0.0, 0, len(live), (published, 0), (live[0], 0), legacy=True)
        new = None
        if before is not None:
            fresh = listed(*(each for each in live if (each, 0) > before.last))
            new = count_new(seen, before, fresh, removed=False)
        view = complete(seen, new, before)
        assert view.counted
        assert view.added - (0 if before is None else before.added) == (
            len(live) if before is None else more
        )


def test_a_newest_entry_that_is_gone_keeps_its_rank():
    """25 are there and one behind them is not: it has the 26th rank, and nothing waits for it."""
    view = later(last=(90, 0), length=25, last_gone=True)
    found = complete(view, 26, removed=True, spare=None)
    assert (found.counted, found.added, found.max_deleted) == (False, 26, (90, 0))
