"""The ledger of losses: the truth lies in every statement, also after it was made smaller."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.bus.delivery.loss import Drop, Losses, Suspicion, cover
from sentinel.core.quantity import Bounds

RANKS = 40


@pytest.mark.parametrize(
    ("segments", "after", "upto", "count"),
    [
        ([], 0, 10, 0),
        ([(0, 10)], 0, 10, 10),
        ([(0, 10)], 5, 20, 5),
        ([(0, 3), (5, 8)], 2, 6, 2),
        ([(0, 3)], 3, 9, 0),
    ],
)
def test_ranks_in_segments(segments, after, upto, count):
    """Half open: the end belongs to it, the begin does not."""
    assert cover(segments, after, upto) == count


def test_certain_losses_that_touch_become_one():
    """So that a stream that is trimmed for an hour is one segment."""
    losses = Losses()
    assert losses.add_certain(0, 5) == 5
    assert losses.add_certain(5, 7) == 2
    assert losses.add_certain(9, 10) == 1
    assert losses.add_certain(10, 10) == losses.add_certain(12, 11) == 0
    assert losses.certain == [(0, 7), (9, 10)]
    assert losses.total() == Bounds(8, 8)


def test_a_suspicion_is_no_more_than_what_is_free():
    """Ranks that are certainly lost are not suspected again."""
    losses = Losses()
    losses.add_certain(0, 6)
    assert losses.add_possible(0, 10, 5, 9) == Bounds(4, 4)
    assert losses.add_possible(0, 6, 1, 6) == Bounds(0, 0)
    assert losses.total() == Bounds(10, 10)


def test_a_suspicion_that_is_confirmed_is_counted_once():
    """At least three of ten, and then exactly these three."""
    losses = Losses()
    losses.add_possible(0, 10, 3, 10)
    losses.add_certain(2, 5)
    assert losses.possible == [Suspicion(0, 10, 0, 10)]
    assert losses.total() == Bounds(3, 10)


@pytest.mark.parametrize(
    ("after", "upto", "bounds"),
    [(0, 10, Bounds(4, 6)), (0, 5, Bounds(0, 5)), (5, 10, Bounds(0, 5)), (0, 9, Bounds(3, 6))],
)
def test_share_of_a_suspicion(after, upto, bounds):
    """Of 4 to 6 among ten, a part has what can't be elsewhere at least, and its size at most."""
    losses = Losses()
    losses.add_possible(0, 10, 4, 6)
    assert losses.lost_in(after, upto) == bounds


def test_drops_are_bounded_by_their_stretch():
    """No more than there are ranks, and none of nothing."""
    losses = Losses()
    losses.add_drop(0, 3, 9)
    losses.add_drop(3, 3, 9)
    losses.add_drop(5, 9, 0)
    assert losses.drops == [Drop(0, 3, 3)]
    assert (losses.dropped(), losses.dropped_in(0, 2), losses.dropped_in(3, 9)) == (3, 2, 0)


def test_nothing_noted_is_nothing_lost():
    """And false, so that it need not be asked."""
    losses = Losses()
    assert not losses
    assert losses.total() == losses.lost_in(0, 100) == Bounds(0, 0)
    losses.prune(100)
    assert losses == Losses()


def test_what_is_past_stays_in_the_totals():
    """Older than every open cohort: folded, and not listed any more."""
    losses = Losses()
    losses.add_certain(0, 5)
    losses.add_certain(8, 12)
    losses.add_possible(5, 8, 1, 2)
    losses.add_drop(0, 4, 2)
    losses.add_drop(8, 12, 1)
    losses.prune(8)
    assert losses.certain == [(8, 12)]
    assert losses.possible == []
    assert (losses.past, losses.past_dropped) == (Bounds(6, 7), 2)
    assert (losses.total(), losses.dropped()) == (Bounds(10, 11), 3)


@st.composite
def ledgers(draw) -> tuple[set[int], Losses]:
    """Ranks that were lost in truth, and a ledger to which each stretch was reported honestly."""
    cuts = sorted(draw(st.sets(st.integers(1, RANKS - 1), max_size=8)))
    lost: set[int] = set()
    losses = Losses()
    for after, upto in zip([0, *cuts], [*cuts, RANKS], strict=True):
        here = draw(st.sets(st.integers(after + 1, upto)))
        if draw(st.booleans()):
            here = set(range(after + 1, upto + 1))
            losses.add_certain(after, upto)
        else:
            lo = draw(st.integers(0, len(here)))
            hi = draw(st.integers(len(here), upto - after))
            losses.add_possible(after, upto, lo, hi)
            for rank in sorted(draw(st.sets(st.sampled_from(sorted(here)))) if here else ()):
                losses.add_certain(rank - 1, rank)
        lost |= here
    return lost, losses


STRETCH = st.tuples(st.integers(0, RANKS), st.integers(0, RANKS)).map(sorted)


def holds(bounds: Bounds, truth: int) -> bool:
    """Whether a statement is true."""
    return bounds.lo <= truth <= bounds.hi


@given(ledgers(), STRETCH)
def test_the_truth_lies_in_every_statement(ledger, stretch):
    """Of all, and of any stretch."""
    lost, losses = ledger
    after, upto = stretch
    assert holds(losses.total(), len(lost))
    assert holds(losses.lost_in(after, upto), sum(after < rank <= upto for rank in lost))


@given(ledgers(), STRETCH, st.integers(2, 4))
def test_a_smaller_ledger_is_wider_and_still_true(ledger, stretch, cap):
    """Intervals are joined when there are too many; no statement becomes false."""
    lost, losses = ledger
    after, upto = stretch
    losses.compact(cap)
    assert len(losses.certain) <= cap
    assert len(losses.possible) <= cap
    assert holds(losses.total(), len(lost))
    assert holds(losses.lost_in(after, upto), sum(after < rank <= upto for rank in lost))


@given(ledgers(), st.integers(0, RANKS))
def test_pruning_keeps_the_total_true(ledger, floor):
    """Whatever is past by then."""
    lost, losses = ledger
    losses.prune(floor)
    assert holds(losses.total(), len(lost))
    assert all(upto > floor for _, upto in losses.certain)


@given(ledgers(), st.integers(0, RANKS))
def test_a_ledger_survives_a_restart(ledger, floor):
    """As JSON, with what is past."""
    _, losses = ledger
    losses.add_drop(0, 9, 4)
    losses.prune(floor)
    assert Losses.load(json.loads(json.dumps(losses.dump()))) == losses


def test_joined_drops_cover_both():
    """Whichever comes first: at most the sum of both, over all that either spans."""
    for spans in (((0, 10), (20, 40)), ((20, 40), (0, 10)), ((10, 20), (0, 40))):
        losses = Losses()
        for after, upto in spans:
            losses.add_drop(after, upto, 3)
        losses.compact(1)
        (drop,) = losses.drops
        assert (drop.after, drop.upto, drop.count) == (0, 40, 6)


def test_joined_suspicions_cover_both():
    """As with drops; bounds add up."""
    losses = Losses()
    losses.add_possible(20, 40, 1, 5)
    losses.add_possible(0, 10, 2, 3)
    losses.compact(1)
    (one,) = losses.possible
    assert (one.after, one.upto, one.lo, one.hi) == (0, 40, 3, 8)
