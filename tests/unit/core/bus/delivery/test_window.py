"""The last minute of settled cohorts, and the ratio that it proves."""

from __future__ import annotations

import json

import pytest

from sentinel.core.bus.delivery.cohort import ACK, DELIVER, Settlement
from sentinel.core.bus.delivery.window import Tally, Window, tally
from sentinel.core.quantity import Bounds

NONE = Bounds(0, 0)


def settled(size: int, waiting: int = 0, stage: str = ACK, unseen: int = 0) -> Settlement:
    """A cohort of which so many wait."""
    wait = Bounds(waiting, waiting)
    return Settlement("g", stage, (1, 0), (2, 0), size, wait, NONE, NONE, 0, unseen)


def test_a_run_is_summed_up_by_its_acknowledgements():
    """Deliveries are another stage of the same entries."""
    found = tally(5.0, [settled(10, 2), settled(3), settled(10, 9, DELIVER)], 1, ["recreated"])
    assert found == Tally(5.0, 13, Bounds(11, 11), 1, ("recreated",))


def test_unseen_entries_are_settled_with_any_fate():
    """They count, and may be good or not."""
    assert tally(5.0, [settled(10, unseen=4)]) == Tally(5.0, 14, Bounds(10, 14))


def test_only_the_last_seconds_count():
    """What is as old as the window is out."""
    window = Window(60.0)
    for at in (0.0, 1.0, 60.0):
        window.add(Tally(at, 10, Bounds(9, 10), 1, (f"at {at:g}",)))
    assert (window.size, window.good, window.lost) == (20, Bounds(18, 20), 2)
    assert window.breaks == ["at 1", "at 60"]


def test_runs_in_which_nothing_happened_are_not_kept():
    """They only make what is old leave."""
    window = Window(60.0)
    window.add(Tally(0.0, 10, Bounds(10, 10)))
    window.add(Tally(59.0, 0, NONE))
    assert len(window.tallies) == 1
    window.add(Tally(60.0, 0, NONE))
    assert window.tallies == []
    assert (window.size, window.good, window.lost, window.breaks) == (0, NONE, 0, [])


@pytest.mark.parametrize(
    ("size", "good", "ratio", "least", "below"),
    [
        (100, Bounds(90, 98), 0.99, 50, True),
        (100, Bounds(90, 99), 0.99, 50, False),
        (49, Bounds(0, 0), 0.99, 50, False),
        (50, Bounds(0, 0), 0.99, 50, True),
    ],
)
def test_only_the_best_case_proves_a_failure(size, good, ratio, least, below):
    """Too few entries prove nothing, and neither does what may be good."""
    window = Window(60.0, [Tally(0.0, size, good)])
    assert window.is_below(ratio, least) is below


def test_a_window_survives_a_restart():
    """As JSON."""
    window = Window(60.0, [Tally(1.5, 10, Bounds(8, 9), 1, ("gone",)), Tally(2.0, 3, NONE)])
    assert Window.load(json.loads(json.dumps(window.dump())), 60.0) == window
