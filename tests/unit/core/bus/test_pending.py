"""What pages of pending entries prove, and what is remembered of delivery counts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.bus.age import IdMark
from sentinel.core.bus.delivery import ZERO
from sentinel.core.bus.pending import (
    BEYOND,
    MAX_DELIVERIES,
    MAX_KNOWN,
    ConsumerView,
    Page,
    PendingRow,
    Sweep,
    at_least,
    count_below,
    count_from_both_ends,
    exactly,
    sort_consumers,
)

NOW = 1_700_000_000.0


def row(n: int, deliveries: int = 1) -> PendingRow:
    return PendingRow((n, 0), "c", 0.0, deliveries)


def page(*rows: PendingRow, size: int = 0, after: int = 0) -> Page:
    """Rows as a page that asked for `size`; 0: for all."""
    return Page(tuple(rows), 0 < size <= len(rows), (after, 0) if after else ZERO)


def test_full_page_reaches_to_its_last_row():
    """Only a page that isn't full reaches to the end."""
    assert page(row(1), row(2), size=2).upto == (2, 0)
    assert page(row(1), size=2).upto == BEYOND
    assert page().upto == BEYOND


def test_count_below_a_bound_needs_a_page_that_reaches_it():
    """Decided by the page of the oldest, or not at all."""
    rows = [row(n) for n in range(1, 6)]
    assert count_below(page(*rows), (4, 0)) == exactly(3)
    assert count_below(page(*rows, size=5), (4, 0)) == exactly(3)
    assert count_below(page(*rows, size=5), (9, 0)) is None


def test_either_end_proves_the_number():
    """The end that isn't full proves it; two full ends prove a lower bound, and it says so."""
    full, short = page(row(1), row(2), size=2), page(row(3), size=2)
    assert count_from_both_ends(9, short, full) == exactly(1)
    assert count_from_both_ends(9, full, short) == exactly(8)
    assert count_from_both_ends(9, full, full) == at_least(2)
    assert str(at_least(1200)) == "1,200 or more"


@given(st.sets(st.integers(1, 60)), st.integers(1, 61), st.integers(1, 10))
def test_counts_are_sound(ids, bound, cap):
    """Whatever is pending: an exact count is the truth, another one is not above it."""
    rows = [row(n) for n in sorted(ids)]
    truth = sum(n < bound for n in ids)
    head = Page(tuple(rows[:cap]), len(rows[:cap]) >= cap)
    count = count_below(head, (bound, 0))
    if count is None:
        below, above = (
            [r for r in rows if (r.id[0] < bound) is early][:cap] for early in (True, False)
        )
        ends = [Page(tuple(found), len(found) >= cap) for found in (below, above)]
        count = count_from_both_ends(len(rows), *ends)
    assert count.lo == truth if count.exact else count.lo <= truth


def test_redeliveries_before_the_watch_are_no_events():
    """Count 5 at the first look is the baseline; 5 → 8 is three; an entry of after the start counts
    from 1.
    """
    sweep = Sweep(since=(10, 0))
    assert sweep.take([page(row(1, 5), row(2))], {}) == 0
    assert sweep.take([page(row(1, 8), row(2), row(20, 3))], {}) == 5
    assert sweep.take([page(row(1, 8), row(2, 2), row(20, 3))], {}) == 1


def test_entries_not_covered_by_the_first_look_have_no_baseline():
    """Behind the first page a count of before the watch is unknown: nothing is invented."""
    sweep = Sweep(since=(100, 0))
    sweep.take([page(row(1), row(2), size=2)], {})
    assert sweep.take([page(row(1), row(2), size=2), page(row(50, 7), after=40)], {}) == 0
    assert sweep.known == {(50, 0): 7}


def test_a_count_that_is_reset_is_no_event():
    """RETRYCOUNT 0 sets a count back."""
    sweep = Sweep()
    sweep.take([page(row(1, 5))], {})
    assert sweep.take([page(row(1, 1))], {}) == 0
    assert sweep.known == {}


def test_huge_counts_are_capped():
    """A count that marks an entry as fatal does not make a billion redeliveries."""
    sweep = Sweep(begun=True)
    assert sweep.take([page(row(1, 2**62))], {}) == MAX_DELIVERIES - 1


def test_acknowledged_entries_are_forgotten_where_a_page_proves_it():
    """Absent from a page that would hold it, or from a look at it alone; not when nobody looked."""
    sweep = Sweep(begun=True)
    sweep.take([page(*(row(n, 2) for n in range(1, 10)))], {})
    sweep.take([page(row(1, 2), row(3, 2), size=2)], {(9, 0): None, (8, 0): row(8, 2)})
    assert sorted(entry[0] for entry in sweep.known) == [1, 3, 4, 5, 6, 7, 8]
    assert [entry[0] for entry in sweep.list_rechecks()] == [4, 5, 6, 7, 8]


def test_cursor_passes_over_everything():
    """Pages move the cursor; the last one ends the pass; the share covered is that of this pass or
    the last.
    """
    sweep = Sweep()
    head = page(row(1), row(2), size=2)
    for after, rows, coverage in ((0, (1, 2, 3), 0.375), (3, (4, 5, 6), 0.75), (6, (7, 8), 1.0)):
        sweep.advance(head, page(*map(row, rows), size=3, after=after))
        assert sweep.find_coverage(8) == coverage
    assert sweep.cursor == ZERO
    assert not sweep.count_poison(5).exact
    assert sweep.find_coverage(80) == pytest.approx(0.1)
    sweep.advance(page(row(1)), None)
    assert sweep.count_poison(5).exact
    assert sweep.find_coverage(1) == 1.0


def test_memory_is_bounded_and_then_invents_nothing():
    """More redelivered entries than are remembered: a lower bound, no event twice; exact again
    after a pass.
    """
    sweep = Sweep(begun=True)
    rows = [row(n, 2) for n in range(1, MAX_KNOWN + 11)]
    sweep.take([page(*rows)], {})
    sweep.advance(page(*rows), None)
    assert (len(sweep.known), sweep.count_redelivered().exact) == (MAX_KNOWN, False)
    assert sweep.take([page(*rows)], {}) == 0
    sweep.advance(page(*rows), None)
    for _ in range(2):
        sweep.take([page(rows[0])], {})
        sweep.advance(page(rows[0]), None)
    assert sweep.count_redelivered() == exactly(1)


def test_memory_survives_a_restart():
    """What was dumped goes on: known counts, cursor, baseline."""
    sweep = Sweep(since=(10, 0))
    sweep.take([page(row(1, 3), row(2), size=2)], {})
    sweep.advance(page(row(1, 3), row(2), size=2), page(row(3), row(4), size=2))
    sweep.look((4, 0), NOW, (1, 0))
    sweep.look((9, 0), NOW + 2, (1, 0))
    again = Sweep.load(json.loads(json.dumps(sweep.dump())))
    assert again.dump() == sweep.dump()
    assert again.cursor == (4, 0)
    assert (again.looked, again.marks[1]) == (NOW + 2, IdMark((9, 0), NOW + 2, NOW))
    assert Sweep.load(sweep.dump()[:9]).marks == []
    assert again.take([page(row(1, 4), row(2, 2))], {}) == 2


def test_what_was_acknowledged_since_it_was_read_is_not_redelivered():
    """Of two redelivered entries beyond the first page one is acknowledged: one is left, at once."""
    head, far = page(row(1), row(2), size=2), page(row(3, 2), row(4, 2), after=2)
    sweep = Sweep(begun=True)
    sweep.take([head, far], {})
    sweep.advance(head, far)
    assert sweep.count_redelivered() == at_least(2)
    assert sweep.list_rechecks() == [(3, 0), (4, 0)]
    sweep.take([head, page(row(5), size=1, after=4)], {(3, 0): row(3, 2), (4, 0): None})
    assert sweep.count_redelivered() == at_least(1)
    sweep.take([head, page(row(5), size=1, after=4)], {})
    assert sweep.count_redelivered() == at_least(0)


@given(
    st.lists(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 2)), max_size=8), max_size=12),
    st.integers(1, 6),
)
def test_redeliveries_seen_never_exceed_the_truth(steps, size):
    """Random deliveries and acknowledgements between looks, pages of any size: the sum of events is
    a lower bound, and the number now redelivered lies in its bounds.
    """
    pending: dict[int, int] = dict.fromkeys(range(1, 10), 3)
    sweep, truth, seen = Sweep(since=(9, 0)), 0, 0
    for step in steps:
        rows = [row(n, count) for n, count in sorted(pending.items())]
        head = Page(tuple(rows[:size]), len(rows[:size]) >= size)
        behind = tuple(r for r in rows if r.id > sweep.cursor)[:size]
        second = Page(behind, len(behind) >= size, sweep.cursor)
        rechecks = {
            e: next((r for r in rows if r.id == e), None) for e in sweep.list_rechecks()[:2]
        }
        seen += sweep.take([head, second], rechecks)
        sweep.advance(head, second)
        assert seen <= truth
        for found, least in ((sweep.count_redelivered(), 1), (sweep.count_poison(3), 3)):
            assert found.lo <= sum(n > least for n in pending.values()) <= found.hi
        assert all(
            pending.get(entry[0], 0) >= 2 or entry[0] not in pending for entry in sweep.known
        )
        for n, act in step:
            if act == 0:
                pending.pop(n, None)
            elif n in pending:
                pending[n] += act
                truth += act
            elif n > 9 and n not in {entry[0] for entry in sweep.known}:
                pending[n] = 1


def test_consumers_are_sorted_by_sign_of_life():
    """Holds entries and silent: dead. Holds none: idle, and a ghost after long. The latest heard of
    is the heir.
    """
    views = [
        ConsumerView("busy", 4, 50.0, 50.0),
        ConsumerView("polls", 1, 0.2, 900.0),
        ConsumerView("gone", 7, 5000.0, 5000.0),
        ConsumerView("never", 0, 9000.0, -1.0),
        ConsumerView("old", 2, 300.0),
        ConsumerView("stranger", 0, 0.1),
    ]
    roster = sort_consumers(
        views, dead_after=195.0, ghost_after=3600.0, unknown=frozenset({"stranger"})
    )
    assert (roster.active, roster.idle) == (3, 1)
    assert [view.name for view in roster.dead] == ["gone", "old"]
    assert roster.dead_entries == 9
    assert [view.name for view in roster.ghosts] == ["never"]
    assert [view.name for view in roster.unknown] == ["stranger"]
    assert roster.alive == "polls"
    assert views[4].since == "last successful read"


def test_a_count_is_exact_only_when_every_entry_was_looked_at_and_remembered():
    """One page that holds everything proves the number; a cut page does not, nor a full memory."""
    whole = Sweep(begun=True)
    whole.take([page(row(1, 7), row(2, 7), row(3))], {})
    whole.advance(page(row(1, 7), row(2, 7), row(3)), None)
    assert whole.count_poison(5) == exactly(2)
    assert whole.count_redelivered() == exactly(2)
    whole.overflow = True
    assert whole.count_poison(5) == at_least(2)
    assert whole.count_redelivered() == at_least(2)
    cut = Sweep(begun=True)
    head = page(row(1, 7), row(2, 7), size=2)
    cut.take([head], {})
    cut.advance(head, page(row(1, 7), row(2, 7), size=2))
    assert (cut.whole, cut.count_poison(5)) == (False, at_least(2))


def test_what_is_added_to_a_lower_bound_is_one():
    """Exact only together with exact ones."""
    assert exactly(2) + exactly(3) == exactly(5)
    assert not (exactly(2) + at_least(3)).exact
    assert (exactly(2) + at_least(3)).open_ended
    assert (at_least(1) + at_least(3)).open_ended
