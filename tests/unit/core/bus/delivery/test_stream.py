"""What one snapshot of a stream proves: ranks and waiting entries, held against a real history."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.bus.delivery.stream import (
    ZERO,
    Anchor,
    Capability,
    GroupView,
    Id,
    StreamView,
    bound_head_gap,
    bound_rank,
    bound_waiting,
    format_id,
    parse_id,
)
from sentinel.core.quantity import Bounds

NEVER = ZERO


@pytest.mark.parametrize(("text", "entry"), [("5-3", (5, 3)), ("5", (5, 0)), ("0-0", ZERO)])
def test_ids_are_pairs(text, entry):
    """In the order of the server; without a sequence it is the first."""
    assert parse_id(text) == entry
    assert parse_id(format_id(entry)) == entry


@given(st.integers(0, 2**63), st.integers(0, 2**64 - 1))
def test_ids_are_written_as_the_server_does(milliseconds, sequence):
    """There and back, to the largest."""
    assert parse_id(format_id((milliseconds, sequence))) == (milliseconds, sequence)


def test_an_anchor_as_text_is_its_json():
    """Written once, the same at each run."""
    anchor = Anchor((5, 3), 7, 1.25)
    assert json.loads(anchor.text) == ["5-3", 7, 1.25]
    assert anchor.text is anchor.text
    assert anchor == Anchor((5, 3), 7, 1.25)


# -- a history ------------------------------------------------------------------------------------


@dataclass
class History:
    """A stream as it was in truth: entry n has id (n, 0) and rank n."""

    published: int = 0
    live: set[int] = field(default_factory=set)
    max_deleted: Id = NEVER

    def publish(self, count: int) -> None:
        """Add entries."""
        for _ in range(count):
            self.published += 1
            self.live.add(self.published)

    def trim(self, count: int) -> None:
        """Remove the oldest, as MAXLEN does: max-deleted-entry-id stays as it is."""
        for rank in sorted(self.live)[:count]:
            self.live.discard(rank)

    def delete(self, place: int) -> None:
        """Remove one anywhere, as XDEL does."""
        if self.live:
            rank = sorted(self.live)[place % len(self.live)]
            self.live.discard(rank)
            self.max_deleted = max(self.max_deleted, (rank, 0))

    @property
    def view(self) -> StreamView:
        """What the server says of it."""
        first = (min(self.live), 0) if self.live else ZERO
        last = (self.published, 0)
        return StreamView(
            0.0, self.published, len(self.live), last, first, max_deleted=self.max_deleted
        )


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 6)),
        st.tuples(st.just("trim"), st.integers(1, 4)),
        st.tuples(st.just("delete"), st.integers(0, 30)),
    ),
    min_size=1,
    max_size=12,
)


def play(acts) -> tuple[History, list[Anchor]]:
    """The history, and the anchors that a look after each act gives."""
    history, anchors = History(), [Anchor(ZERO, 0, 0.0)]
    for name, number in acts:
        getattr(history, name)(number)
        if history.published > anchors[-1].rank:
            anchors.append(Anchor((history.published, 0), history.published, 0.0))
    return history, anchors


def holds(bounds: Bounds, truth: int) -> bool:
    """Whether a statement is true."""
    return bounds.lo <= truth <= bounds.hi


@given(ACTS)
def test_ranks_before_the_first_live_entry(acts):
    """The truth lies in the bounds; without holes they are one figure."""
    history, anchors = play(acts)
    view = history.view
    truth = min(history.live) - 1 if history.live else history.published
    gap = bound_head_gap(view, anchors)
    assert holds(gap, truth)
    assert gap.exact or view.has_holes
    assert view.removed == history.published - len(history.live)


@given(ACTS, st.integers(0, 80))
def test_rank_of_any_entry(acts, place):
    """Whatever was removed: from anchors and the head of the stream."""
    history, anchors = play(acts)
    rank = place % (history.published + 1)
    view = history.view
    bounds = bound_rank((rank, 0) if rank else ZERO, view, anchors, bound_head_gap(view, anchors))
    assert holds(bounds, rank)


@given(ACTS, st.integers(0, 80))
def test_waiting_of_a_group(acts, place):
    """Published, live and behind the last delivered one: the count lies in the bounds."""
    history, anchors = play(acts)
    rank = place % (history.published + 1)
    view, last = history.view, (rank, 0) if rank else ZERO
    position = bound_rank(last, view, anchors, bound_head_gap(view, anchors))
    truth = sum(each > rank for each in history.live)
    assert holds(bound_waiting(view, GroupView("g", last, 0), position), truth)


# -- single cases ---------------------------------------------------------------------------------

VIEW = StreamView(0.0, added=20, length=10, last=(20, 0), first=(11, 0))


def group(last: Id, lag: int | None = None) -> GroupView:
    """A group at this place."""
    return GroupView("g", last, 0, lag=lag)


@pytest.mark.parametrize(
    ("last", "position", "waiting"),
    [
        ((20, 0), Bounds(20, 20), Bounds(0, 0)),
        ((21, 0), Bounds(20, 20), Bounds(0, 0)),
        ((10, 0), Bounds(10, 10), Bounds(10, 10)),
        (ZERO, Bounds(0, 0), Bounds(10, 10)),
        ((15, 0), Bounds(15, 15), Bounds(5, 5)),
        ((11, 0), Bounds(10, 12), Bounds(8, 9)),
    ],
)
def test_waiting_without_holes(last, position, waiting):
    """Up to date, before the first, and within."""
    assert bound_waiting(VIEW, group(last), position) == waiting


def test_lag_counts_only_where_it_is_known_to_be_exact():
    """By experiment, not by version."""
    position = Bounds(11, 18)
    assert bound_waiting(VIEW, group((15, 0), lag=7), position) == Bounds(2, 9)
    exact = Capability(lag_exact=True)
    assert bound_waiting(VIEW, group((15, 0), lag=7), position, exact) == Bounds(7, 7)
    assert bound_waiting(VIEW, group((15, 0)), position, exact) == Bounds(2, 9)


def test_holes_widen_what_waits():
    """Deleted behind the group: perhaps some of what is ahead of it is gone."""
    view = StreamView(0.0, 20, 10, (20, 0), (3, 0), max_deleted=(18, 0))
    assert view.has_holes
    assert bound_waiting(view, group((15, 0)), Bounds(15, 15)) == Bounds(0, 5)


def test_empty_stream():
    """Everything is before a first entry that is not there, and nothing waits."""
    view = StreamView(0.0, 20, 0, (20, 0))
    assert not view.has_holes
    assert bound_head_gap(view, []) == Bounds(20, 20)
    assert bound_waiting(view, group(ZERO), Bounds(0, 0)) == Bounds(0, 0)
    assert bound_rank((7, 0), view, [], Bounds(20, 20)) == Bounds(0, 19)
