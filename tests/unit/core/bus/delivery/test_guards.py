"""Single guards of the accountant and of lineage that a wrong figure would follow from."""

from __future__ import annotations

import pytest

from sentinel.core.bus.delivery import (
    RECREATED,
    XSETID,
    Anchor,
    Deadlines,
    GroupView,
    StreamView,
    begin_account,
)
from sentinel.core.bus.delivery.lineage import is_lost, judge_break
from sentinel.core.quantity import Bounds

DEADLINES = Deadlines(1.0, 2.0)


def view(now: float, count: int, *groups: GroupView, first: int = 1, **others) -> StreamView:
    """A stream that had entries 1 … count."""
    return StreamView(
        now=now,
        added=count,
        length=others.pop("length", count),
        last=(count, 0),
        first=(first, 0),
        groups={group.name: group for group in groups},
        **others,
    )


# -- a group that is seen for the first time ------------------------------------------------------


@pytest.mark.parametrize(
    ("consumers", "pending", "owed"), [(0, 0, 0), (1, 0, 10), (0, 3, 10), (2, 3, 10)]
)
def test_a_new_group_at_the_end_owes_nothing_unless_somebody_was_there(consumers, pending, owed):
    """Made at `$` and never read: nothing before it is its. With a consumer, or something pending,
    it may have been made earlier and have read all: then what came since the last look is.
    """
    account = begin_account(DEADLINES)
    account.feed(view(1.0, 5, GroupView("old", (5, 0), 0, 1)))
    oldest = (15 - pending + 1, 0) if pending else None
    new = GroupView("new", (15, 0), pending, consumers, 15, oldest_pending=oldest)
    account.feed(view(2.0, 15, GroupView("old", (15, 0), 0, 1), new))
    assert account.account_of("new").published == owed


def test_a_new_group_behind_the_end_owes_what_it_has_not_read():
    """Nobody has read in it, and it is not at the end: what came since the last look is its."""
    account = begin_account(DEADLINES)
    account.feed(view(1.0, 5))
    account.feed(view(2.0, 15, GroupView("new", (14, 0), 0, 0)))
    found = account.account_of("new")
    assert (found.published, found.waiting) == (10, Bounds(1, 10))


# -- renumbered, or another stream? ---------------------------------------------------------------


BEFORE = view(1.0, 9)


def broken(now: StreamView, survivors=frozenset()):
    found = judge_break(BEFORE, now, [Anchor((9, 0), 9, 1.0)], survivors)
    assert found is not None
    return found


def test_counters_that_moved_over_an_untouched_stream_are_an_xsetid():
    """The entries are what they were: same length, same first entry."""
    moved = StreamView(now=2.0, added=20, length=9, last=(9, 0), first=(1, 0))
    assert broken(moved).reason == XSETID


@pytest.mark.parametrize(
    "changed",
    [
        StreamView(now=2.0, added=20, length=3, last=(9, 0), first=(1, 0), ends=1),
        StreamView(now=2.0, added=20, length=9, last=(9, 0), first=(2, 0), ends=1),
    ],
)
def test_a_stream_whose_entries_changed_too_is_not_renumbered(changed):
    """Another length, or another first entry: no XSETID explains that; nothing known survived."""
    assert broken(changed).reason == RECREATED


def test_the_newest_anchor_that_survives_proves_an_xsetid():
    """Whatever the counters say: the entry known last is there."""
    moved = StreamView(now=2.0, added=4, length=9, last=(9, 0), first=(1, 0))
    assert broken(moved, frozenset({(9, 0)})).reason == XSETID


@pytest.mark.parametrize(
    ("first", "max_deleted", "lost"), [(1, 0, True), (9, 8, True), (10, 0, False), (1, 9, False)]
)
def test_an_anchor_is_lost_only_where_nothing_can_have_removed_it(first, max_deleted, lost):
    """Trimmed or deleted up to it: that explains why it is missing."""
    now = StreamView(
        now=2.0, added=20, length=5, last=(20, 0), first=(first, 0), max_deleted=(max_deleted, 0)
    )
    assert is_lost(Anchor((9, 0), 9, 1.0), now, frozenset()) is lost
    assert not is_lost(Anchor((9, 0), 9, 1.0), now, frozenset({(9, 0)}))
    assert not is_lost(Anchor((0, 0), 0, 1.0), now, frozenset())
