"""Cohorts: their questions, how they settle, and how many of them are kept."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.bus.delivery.cohort import (
    ACK,
    DELIVER,
    Answer,
    Cohort,
    Deadlines,
    Question,
    Settlement,
    merge_cohorts,
)
from sentinel.core.bus.delivery.stream import Anchor
from sentinel.core.quantity import Bounds

NONE = Bounds(0, 0)
OPEN = frozenset({("g", ACK), ("g", DELIVER)})


def cohort(start: int, end: int, opened=OPEN, unseen: int = 0) -> Cohort:
    """Published in (start, end]: one entry a second."""
    ends = (Anchor((n * 1000, 0), n, float(n)) for n in (start, end))
    return Cohort(*ends, opened, unseen)


def settlement(stage=ACK, size=10, dropped=0, unseen=0, **found: Bounds) -> Settlement:
    """Ten entries, with what is not good."""
    figures = {"waiting": NONE, "pending": NONE, "lost": NONE} | found
    return Settlement("g", stage, (1, 0), (2, 0), size, **figures, dropped=dropped, unseen=unseen)


def test_deadlines_of_the_stages():
    """Each has its own."""
    deadlines = Deadlines(deliver=5.0, ack=30.0)
    assert (deadlines.of(DELIVER), deadlines.of(ACK)) == (5.0, 30.0)


@pytest.mark.parametrize("unseen", [0, 3])
def test_a_cohort_survives_a_restart(unseen):
    """As JSON; its size is exact."""
    one = cohort(5, 15, unseen=unseen)
    assert one.size == 10
    assert Cohort.load(json.loads(json.dumps(one.dump()))) == one


def test_a_question_without_an_end_is_not_of_the_account():
    """Only what is bounded must come with its snapshot."""
    assert Question("pending", "g", (0, 0), (9, 0), 100).counts
    assert not Question("live", "g", (0, 0), None, 100).counts


IDS = ((1, 0), (2, 0), (2, 1), (5, 0))


@pytest.mark.parametrize(
    ("full", "limit", "after", "upto", "count"),
    [
        (False, 10, (0, 0), None, Bounds(4, 4)),
        (False, 10, (1, 0), (2, 1), Bounds(2, 2)),
        (False, 3, (0, 0), None, Bounds(3, 3)),
        (True, 10, (0, 0), None, Bounds(4, 10)),
        (True, 10, (2, 1), (4, 0), Bounds(0, 10)),
        (True, 2, (0, 0), None, Bounds(2, 2)),
    ],
)
def test_counting_what_was_listed(full, limit, after, upto, count):
    """(after, upto]; a list that was cut off is a lower bound."""
    assert Answer(IDS, full).count(limit, after, upto) == count


@pytest.mark.parametrize(
    ("found", "good", "outcomes"),
    [
        (settlement(), Bounds(10, 10), {"acked": 10}),
        (settlement(waiting=Bounds(3, 3)), Bounds(7, 7), {"acked": 7, "waiting": 3}),
        (
            settlement(pending=Bounds(1, 4)),
            Bounds(6, 9),
            {"acked": 6, "pending": 1, "uncertain": 3},
        ),
        (settlement(lost=Bounds(2, 2)), Bounds(8, 8), {"acked": 8, "lost": 2}),
        (settlement(dropped=2), Bounds(8, 10), {"acked": 8, "uncertain": 2}),
        (settlement(unseen=5), Bounds(10, 15), {"acked": 10, "uncertain": 5}),
        (settlement(waiting=Bounds(9, 12)), Bounds(0, 1), {"waiting": 9, "uncertain": 1}),
    ],
)
def test_outcomes_of_acknowledgement(found, good, outcomes):
    """What is certain of each, and the rest."""
    assert found.good == good
    assert {name: count for name, count in found.outcomes.items() if count} == outcomes


def test_at_delivery_pending_is_good():
    """Who waits for its acknowledgement has been delivered; a drop, too."""
    found = settlement(DELIVER, pending=Bounds(4, 4), dropped=3, waiting=Bounds(1, 1))
    assert found.good == Bounds(9, 9)
    assert found.outcomes["delivered"] == 9


@given(
    st.sampled_from([ACK, DELIVER]),
    st.lists(st.sampled_from(["good", "waiting", "pending", "lost"]), max_size=20),
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
    st.integers(0, 3),
)
def test_outcomes_add_up_and_never_promise_too_much(stage, fates, slack, unseen):
    """Whatever the fates: the sum is exact, and no certain outcome exceeds the truth."""
    truth = {name: fates.count(name) for name in ("waiting", "pending", "lost")}
    bounds = {
        name: Bounds(max(0, count - slack[2 * n]), count + slack[2 * n + 1])
        for n, (name, count) in enumerate(truth.items())
    }
    found = settlement(stage, len(fates), unseen=unseen, **bounds)
    outcomes = found.outcomes
    assert sum(outcomes.values()) == len(fates) + unseen
    good = fates.count("good") + (truth["pending"] if stage == DELIVER else 0)
    assert found.good.lo <= good <= found.good.hi
    for name, count in truth.items():
        assert outcomes.get(name, 0) <= count
    assert outcomes["acked" if stage == ACK else "delivered"] <= good


def test_cohorts_that_are_shortest_in_time_become_one():
    """The neighbours of two seconds, not those of twenty; what was unseen is summed."""
    many = [cohort(0, 20), cohort(20, 21, unseen=1), cohort(21, 22, unseen=2), cohort(22, 50)]
    merged = merge_cohorts(many, 3)
    assert [(each.start.rank, each.end.rank) for each in merged] == [(0, 20), (20, 22), (22, 50)]
    assert merged[1].unseen == 3


def test_few_cohorts_stay():
    """Nothing is merged for nothing."""
    many = [cohort(0, 1), cohort(1, 2)]
    assert merge_cohorts(many, 2) == many
    assert merge_cohorts([], 0) == []


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 5))
def test_merging_loses_no_entry(sizes, cap):
    """All published are in one cohort each, before and after."""
    ranks = [sum(sizes[:n]) for n in range(len(sizes) + 1)]
    many = [cohort(a, b) for a, b in pairwise(ranks)]
    merged = merge_cohorts(many, cap)
    assert sum(each.size for each in merged) == sum(sizes)
    assert len(merged) == min(cap, len(many))
