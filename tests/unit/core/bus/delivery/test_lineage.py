"""Is it still the same stream? Each sign, what it means, and where the old life still holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.core.bus.delivery.lineage import (
    RECREATED,
    ROLLBACK,
    UNCOUNTED,
    UNPROVEN,
    XSETID,
    find_sign,
    is_lost,
    judge_break,
)
from sentinel.core.bus.delivery.stream import ZERO, Anchor, StreamView

BEFORE = StreamView(10.0, added=20, length=10, last=(20, 0), first=(11, 0), max_deleted=(5, 0))
ANCHORS = [Anchor(ZERO, 0, 0.0), Anchor((8, 0), 8, 1.0), Anchor((20, 0), 20, 10.0)]


def later(**changes) -> StreamView:
    """The stream at the next look."""
    return replace(BEFORE, now=20.0, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"added": 25, "length": 15, "last": (25, 0)},
        {"added": 25, "length": 5, "last": (25, 0), "first": (21, 0)},
        {"length": 8, "first": (13, 0)},
        {"length": 9, "max_deleted": (15, 0)},
        {"added": 25, "length": 0, "last": (25, 0), "first": ZERO},
        {"added": 25, "length": 15, "last": (20, 0), "unseen": 5},
    ],
)
def test_what_a_living_stream_may_do(changes):
    """Nothing, publish, trim, delete, be emptied, and what could not be counted."""
    assert find_sign(BEFORE, later(**changes)) == ""
    assert judge_break(BEFORE, later(**changes), ANCHORS, {(20, 0), (8, 0)}) is None


@pytest.mark.parametrize(
    ("changes", "sign"),
    [
        ({"added": 19, "length": 9}, "entries-added went back"),
        ({"last": (19, 0)}, "last-generated-id went back"),
        ({"added": 25, "length": 16, "last": (25, 0)}, "the number of removed entries went back"),
        ({"max_deleted": (4, 0)}, "max-deleted-entry-id went back"),
        ({"first": (10, 0)}, "the first entry is older than before"),
        ({"first": (12, 0)}, "the first entry changed with nothing removed"),
        ({"added": 25, "length": 14, "last": (25, 0), "first": (21, 0)}, "old entries are missing"),
        ({"added": 25, "length": 15}, "moved apart (XSETID)"),
        ({"last": (30, 0)}, "moved apart (XSETID)"),
    ],
)
def test_each_sign_of_another_life(changes, sign):
    """One of them is enough, and it is named."""
    assert sign in find_sign(BEFORE, later(**changes))


def test_an_entry_behind_the_last_one_of_an_empty_stream():
    """Nothing was there to be first before, and nothing older can come."""
    empty = replace(BEFORE, length=0, first=ZERO, added=20)
    seen = replace(empty, added=21, length=1, last=(21, 0), first=(19, 0))
    assert "behind the last one" in find_sign(empty, seen)
    assert find_sign(empty, replace(seen, first=(21, 0))) == ""


@pytest.mark.parametrize(
    ("last", "sign"), [((19, 0), "last-generated-id went back"), ((30, 0), UNCOUNTED)]
)
def test_a_server_that_does_not_count(last, sign):
    """All that is left is the last id."""
    assert find_sign(BEFORE, later(counted=False, last=last)) == sign


@pytest.mark.parametrize(
    ("anchor", "changes", "survivors", "lost"),
    [
        (ANCHORS[2], {}, set(), True),
        (ANCHORS[2], {}, {(20, 0)}, False),
        (ANCHORS[0], {}, set(), False),
        (ANCHORS[1], {}, set(), False),
        (ANCHORS[2], {"max_deleted": (20, 0)}, set(), False),
        (ANCHORS[2], {"length": 0, "first": ZERO}, set(), False),
    ],
)
def test_an_anchor_that_nothing_can_have_removed(anchor, changes, survivors, lost):
    """It is missing only where trimming and deleting can't explain it."""
    assert is_lost(anchor, later(**changes), survivors) is lost


def test_the_newest_known_entry_is_missing():
    """The counters agree, the entry does not: it is another stream."""
    found = judge_break(BEFORE, later(), ANCHORS, set())
    assert found is not None
    assert found.sign == "the newest known entry is missing"
    assert judge_break(BEFORE, later(), ANCHORS, None) is None


def test_a_rollback_goes_on_from_the_newest_anchor_that_survives():
    """A restart without the last seconds: what is older still holds."""
    rolled = later(added=10, length=10, last=(10, 0), first=(1, 0), max_deleted=ZERO)
    found = judge_break(BEFORE, rolled, ANCHORS, {(8, 0)})
    assert (found.reason, found.anchor) == (ROLLBACK, ANCHORS[1])


@pytest.mark.parametrize(
    ("changes", "reason", "base"),
    [
        ({"epochs": 1}, ROLLBACK, Anchor((19, 0), 19, 20.0)),
        ({"epochs": 1, "ends": 1}, ROLLBACK, Anchor((19, 0), 19, 20.0)),
        ({}, ROLLBACK, Anchor((19, 0), 19, 20.0)),
        ({"ends": 1}, RECREATED, Anchor(ZERO, 0, 20.0)),
        ({"epochs": 1, "length": 19, "last": (39, 0), "first": (21, 0)}, RECREATED, None),
    ],
)
def test_an_older_state_of_which_nothing_known_is_left(changes, reason, base):
    """Another process may have brought it back, and nobody knows how much is new; where the same
    process goes on, and something was deleted, it was made anew.
    """
    view = replace(later(added=19, length=9, last=(19, 0)), **changes)
    found = judge_break(BEFORE, view, ANCHORS, set())
    open_most = (True, BEFORE.added) if reason == ROLLBACK else (False, 0)
    assert (found.reason, found.open, found.most) == (reason, *open_most)
    assert found.anchor == (base or Anchor(ZERO, 0, 20.0))


def test_a_new_life_begins_at_nothing():
    """Deleted and made again: no anchor holds."""
    fresh = later(added=2, length=2, last=(31, 0), first=(30, 0), max_deleted=ZERO)
    found = judge_break(BEFORE, fresh, ANCHORS, set())
    assert (found.reason, found.anchor) == (RECREATED, Anchor(ZERO, 0, 20.0))


@pytest.mark.parametrize(
    ("changes", "survivors"),
    [({"last": (30, 0)}, None), ({"last": (30, 0)}, set()), ({"added": 15}, {(20, 0)})],
)
def test_renumbered_streams_begin_where_they_are(changes, survivors):
    """XSETID: the entries are untouched, or the newest one is still there."""
    view = later(**changes)
    found = judge_break(BEFORE, view, ANCHORS, survivors)
    assert (found.reason, found.anchor) == (XSETID, Anchor(view.last, view.added, 20.0))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"swaps": 1}, (ROLLBACK, ANCHORS[2])),
        ({"swaps": 1, "renumbers": 1}, (XSETID, Anchor((23, 0), 23, 20.0))),
        ({"swaps": 1, "epochs": 1}, (XSETID, Anchor((23, 0), 23, 20.0))),
        ({}, (XSETID, Anchor((23, 0), 23, 20.0))),
    ],
)
def test_an_older_copy_in_its_place_goes_on_where_both_were_the_same(counts, expected):
    """Deletions are undone, and XSETID can't have run: what was published since is owed."""
    copied = later(added=23, length=14, last=(23, 0), first=(10, 0), max_deleted=(3, 0), **counts)
    found = judge_break(BEFORE, copied, ANCHORS, {(8, 0), (20, 0)})
    assert (found.reason, found.anchor) == expected


@pytest.mark.parametrize(("last", "reason"), [((19, 0), ROLLBACK), ((30, 0), RECREATED)])
def test_a_server_without_counters_tells_by_the_last_id(last, reason):
    """Redis 6.2: back is a rollback, anything else another life; both begin at what is there."""
    view = later(legacy=True, counted=False, last=last)
    found = judge_break(BEFORE, view, ANCHORS, None)
    assert (found.reason, found.anchor) == (reason, Anchor(last, 20, 20.0))


@pytest.mark.parametrize(
    ("survivors", "open_"), [({(20, 0)}, None), ({(8, 0)}, True), (set(), True), (None, True)]
)
def test_what_may_have_been_swapped_goes_on_where_its_newest_entry_lives(survivors, open_):
    """Otherwise both readings are open, and nothing of it is counted for certain."""
    view = later(added=25, length=5, last=(25, 0), first=(21, 0), max_deleted=(22, 0), swaps=1)
    found = judge_break(BEFORE, view, ANCHORS, survivors)
    assert (found and found.open) == open_


@pytest.mark.parametrize(
    ("changes", "doubted"),
    [
        ({"added": 25, "length": 15, "last": (25, 0)}, False),
        ({"length": 8, "first": (13, 0)}, False),
        ({"added": 25, "length": 12, "last": (25, 0), "first": (14, 0)}, True),
        ({"added": 25, "length": 14, "last": (25, 0), "max_deleted": (15, 0)}, True),
        ({"added": 25, "length": 0, "last": (25, 0), "first": ZERO}, True),
    ],
)
def test_counts_that_began_anew_may_hide_xsetid_where_entries_went(changes, doubted):
    """XADD with a trim and XSETID look alike, unless what came was counted."""
    view = later(**changes, epochs=1)
    sign = find_sign(BEFORE, view)
    assert sign == (UNPROVEN if doubted else "")
    assert find_sign(BEFORE, replace(view, recounted=True)) == ""
    assert find_sign(BEFORE, replace(view, epochs=0)) == ""
    assert find_sign(BEFORE, replace(view, legacy=True)) == ""
    broken = judge_break(BEFORE, view, ANCHORS, {(20, 0)})
    assert (broken is not None and broken.reason == XSETID and broken.open) == doubted
