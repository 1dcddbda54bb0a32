"""Do database and bus agree? What an entry proves, what its absence proves, and what neither does."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.bus.crosscheck import (
    EARLY,
    MAX_FOUND,
    Delivered,
    Extent,
    ReadRange,
    SampleCount,
    SampleLedger,
    SampleVerdict,
    TaskNow,
    choose,
    decide_effect,
    decide_published,
    has_time,
    hash_of,
    merge_windows,
)

AT = 1_700_000_000.0
GOOD, BAD, LATE = SampleVerdict.GOOD, SampleVerdict.BAD, SampleVerdict.LATE
UNMEASURABLE, WAIT = SampleVerdict.UNMEASURABLE, SampleVerdict.WAIT


def entry(seconds: float) -> tuple[int, int]:
    """The id of an entry that was published then."""
    return int((AT + seconds) * 1000), 0


WHOLE = Extent(exists=True, first=entry(-100))


def test_a_sample_favours_nobody():
    """The same for the same names, whatever their order; no more than asked for."""
    names = [f"t{n}" for n in range(50)]
    found = choose(names, 10, str)
    assert found == choose(reversed(names), 10, str)
    assert len(set(found)) == 10
    assert found != names[:10]
    assert set(choose(names[:3], 10, str)) == set(names[:3])


@pytest.mark.parametrize(("ms", "known"), [(10**12, True), (10**12 - 1, False), (5, False)])
def test_ids_that_are_times(ms, known):
    """Below the year 2001 a producer chose the number."""
    assert has_time((ms, 0)) is known


@pytest.mark.parametrize(
    ("extent", "keeps"),
    [
        (WHOLE, True),
        (Extent(exists=True, first=entry(0)), True),
        (Extent(exists=True, first=entry(1)), False),
        (Extent(exists=False, first=entry(-100)), False),
        (Extent(exists=True, first=(5, 0)), False),
        (Extent(exists=True, first=entry(-100), max_deleted=entry(-1)), True),
        (Extent(exists=True, first=entry(-100), max_deleted=entry(0)), False),
    ],
)
def test_what_a_stream_can_still_show(extent, keeps):
    """Its oldest entry is older, and nothing younger was deleted."""
    assert extent.keeps(AT) is keeps


@pytest.mark.parametrize(
    ("seen", "extent", "complete", "verdict"),
    [
        ([entry(0)], WHOLE, True, GOOD),
        ([entry(-EARLY)], WHOLE, True, GOOD),
        ([entry(30)], WHOLE, True, GOOD),
        ([entry(30.5)], WHOLE, True, LATE),
        ([entry(-EARLY - 0.5)], WHOLE, True, LATE),
        ([entry(99), entry(1)], WHOLE, True, GOOD),
        ([], WHOLE, True, BAD),
        ([], WHOLE, False, UNMEASURABLE),
        ([], Extent(exists=True, first=entry(5)), True, UNMEASURABLE),
        ([], Extent(exists=False), True, UNMEASURABLE),
        ([entry(1)], Extent(exists=False), False, GOOD),
    ],
)
def test_was_an_assignment_published(seen, extent, complete, verdict):
    """Its absence proves something only where all was read and nothing can be gone."""
    assert decide_published(AT, 30.0, seen, extent, complete=complete) is verdict


@pytest.mark.parametrize(
    ("windows", "merged"),
    [
        ([], []),
        ([(0, 5), (5, 9)], [(0, 9)]),
        ([(6, 9), (0, 5)], [(0, 5), (6, 9)]),
        ([(0, 9), (2, 3)], [(0, 9)]),
    ],
)
def test_windows_that_overlap_are_read_once(windows, merged):
    """Also those that touch, and one within another."""
    assert merge_windows(windows) == merged


SPANS = st.tuples(st.integers(0, 50), st.integers(0, 9)).map(lambda span: (span[0], sum(span)))


@given(st.lists(SPANS, max_size=12))
def test_merged_windows_cover_the_same_instants(windows):
    """Nothing more, nothing less, and no two of them touch."""
    merged = merge_windows(windows)
    for at in range(61):
        assert any(a <= at <= b for a, b in merged) == any(a <= at <= b for a, b in windows)
    assert all(one[1] < other[0] for one, other in pairwise(merged))


def delivered(acked: float | None = 10.0, agent: str = "a") -> Delivered:
    """An entry that was published at AT, and acknowledged so many seconds later."""
    at = None if acked is None else AT + acked
    return Delivered("s", "g", f"{int(AT * 1000)}-0", "t1", agent, acked=at)


@pytest.mark.parametrize(
    ("one", "task", "after", "verdict"),
    [
        (delivered(None), TaskNow(False, "a", AT), 999, WAIT),
        (delivered(), TaskNow(False, "a", AT), 11, GOOD),
        (delivered(), TaskNow(True, "a", AT), 39, WAIT),
        (delivered(), TaskNow(True, "a", AT), 40, BAD),
        (delivered(), TaskNow(True, "a", None), 40, BAD),
        (delivered(), TaskNow(True, "a", AT + 2), 40, BAD),
        (delivered(), TaskNow(True, "a", AT + 3), 40, UNMEASURABLE),
        (delivered(), TaskNow(True, "b", AT), 40, UNMEASURABLE),
        (delivered(agent=""), TaskNow(True, "b", AT), 40, BAD),
        (delivered(), None, 39, WAIT),
        (delivered(), None, 40, UNMEASURABLE),
    ],
)
def test_had_an_acknowledgement_its_effect(one, task, after, verdict):
    """Only of this assignment, to this agent, after the time that it has."""
    assert one.published == AT
    assert decide_effect(one, task, AT + after, 30.0, 2.0) is verdict


# -- the account ----------------------------------------------------------------------------------


def test_every_judged_sample_is_good_bad_or_late():
    """What waits or can't be measured is none."""
    count = SampleCount()
    for verdict in SampleVerdict:
        count.add(verdict)
    assert count == SampleCount(samples=3, bad=1, late=1, unmeasurable=1, skewed=1)
    assert count.plus(count) == SampleCount(6, 2, 2, 2, 2)


def sample(verdict: SampleVerdict, name: str = "t1"):
    """A verdict on a task."""
    return verdict, {"task": name}


def test_the_window_forgets_and_the_total_does_not():
    """What is as old as the window is out, its bad samples too."""
    ledger = SampleLedger()
    ledger.add(0.0, [sample(BAD), sample(GOOD)], 60.0)
    ledger.add(59.0, [sample(BAD, "t2")], 60.0)
    assert ledger.window() == SampleCount(3, 2)
    assert [each["task"] for each in ledger.found] == ["t1", "t2"]
    ledger.add(60.0, [], 60.0)
    assert ledger.window() == SampleCount(1, 1)
    assert [each["task"] for each in ledger.found] == ["t2"]
    assert ledger.total == SampleCount(3, 2)


def test_bad_samples_are_bounded():
    """The newest ones are kept."""
    ledger = SampleLedger()
    ledger.add(0.0, [sample(BAD, f"t{n}") for n in range(MAX_FOUND + 5)], 60.0)
    assert len(ledger.found) == MAX_FOUND
    assert ledger.found[-1]["task"] == f"t{MAX_FOUND + 4}"
    assert ledger.total.bad == MAX_FOUND + 5


def test_a_ledger_survives_a_restart():
    """As JSON; an empty document is a new one."""
    ledger = SampleLedger()
    ledger.add(1.0, [sample(BAD), sample(LATE), sample(UNMEASURABLE)], 60.0)
    again = SampleLedger.load(json.loads(json.dumps(ledger.dump())))
    assert again == ledger
    assert SampleLedger.load({}) == SampleLedger()


def ranged(n: int, *tasks: str) -> ReadRange:
    """A range with `n` tasks, of which the sample has those with the lowest hashes."""
    return ReadRange(0.0, 1.0, n, tasks)


def test_tasks_that_became_visible_late():
    """Where all were sampled, whoever is new is late; where not, whose hash comes before the last
    of the sample; that some were given away meanwhile hides some.
    """
    names = sorted((f"t{n}" for n in range(9)), key=hash_of)
    assert ranged(3, *names[1:4]).find_arrivals(4, names[:4]) == (1, names[:1])
    assert ranged(0).find_arrivals(2, names[:2]) == (2, names[:2])
    assert ranged(5, *names[1:4]).find_arrivals(6, names[:3]) == (1, names[:1])
    assert ranged(5, *names[:3]).find_arrivals(7, names[:3]) == (2, [])
    assert ranged(5, *names[:3]).find_arrivals(4, [names[0], *names[3:5]]) == (0, [])
    assert ranged(3, *names[1:4]).find_arrivals(2, names[:2]) == (1, names[:1])
