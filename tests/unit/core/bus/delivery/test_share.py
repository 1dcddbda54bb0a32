"""Shares, tallies and their window: what is proved by the best case, and kept over a restart."""

from __future__ import annotations

import json

import pytest

from sentinel.core.bus.delivery.cohort import ACK, DELIVER, Settlement
from sentinel.core.bus.delivery.window import Mishap, Share, Tally, Window, tally
from sentinel.core.quantity import Bounds

NONE = Bounds(0, 0)
A, B = ("orders", "g"), ("orders", "h")
RECREATED = Mishap("recreated", "orders", "", "stream orders was made anew")


def settled(size: int, waiting: int = 0, stage: str = ACK, group="g", unseen=0) -> Settlement:
    """A cohort of which so many wait."""
    wait = Bounds(waiting, waiting)
    return Settlement(group, stage, (1, 0), (2, 0), size, wait, NONE, NONE, 0, unseen)


def exact(size: int, good: int) -> Share:
    """So many of so many."""
    return Share(size, Bounds(good, good))


# -- a share --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "missed", "below"),
    [
        (Share(100, Bounds(90, 98)), 2, True),
        (Share(100, Bounds(90, 99)), 1, False),
        (Share(100, Bounds(0, 100)), 0, False),
        (Share(10, Bounds(10, 14)), 0, False),
        (Share(), 0, False),
    ],
)
def test_only_the_best_case_proves_a_miss(share, missed, below):
    """What may be good is not missed; of nothing nothing is proved."""
    assert share.missed == missed
    assert share.is_below(0.99) is below


def test_shares_add_up():
    """Sizes and both ends."""
    assert Share(10, Bounds(8, 9)) + Share(5, Bounds(5, 5)) == Share(15, Bounds(13, 14))


# -- one run --------------------------------------------------------------------------------------


def test_a_run_is_summed_up_by_its_acknowledgements():
    """By stream and group; deliveries are another stage of the same entries."""
    cohorts = [settled(10, 2), settled(3), settled(10, 9, DELIVER), settled(4, group="h")]
    found = tally(5.0, {"orders": cohorts}, {A: 1}, [RECREATED])
    assert found.shares == {A: exact(13, 11), B: exact(4, 4)}
    assert found.whole == exact(17, 15)
    assert found.missing == {A}
    assert (found.at, found.losses, found.mishaps) == (5.0, {A: 1}, (RECREATED,))


def test_streams_are_told_apart():
    """Groups of one name on two streams are two."""
    found = tally(5.0, {"orders": [settled(1)], "returns": [settled(2, 2)]}, {})
    assert found.shares == {A: exact(1, 1), ("returns", "g"): exact(2, 0)}
    assert found.missing == {("returns", "g")}


def test_unseen_entries_are_settled_with_any_fate():
    """They count, and may be good or not."""
    found = tally(5.0, {"orders": [settled(10, unseen=4)]}, {})
    assert found.whole == Share(14, Bounds(10, 14))
    assert not found.missing


# -- the window -----------------------------------------------------------------------------------


def run(at: float, size: int = 10, good: int = 9, lost: int = 0, *mishaps: Mishap) -> Tally:
    """One run in which something happened to group A."""
    losses = {A: lost} if lost else {}
    share = exact(size, good)
    missing = frozenset({A}) if share.missed else frozenset()
    return Tally(at, share, {A: share} if size else {}, losses, mishaps, missing)


def test_only_the_last_seconds_count():
    """What is as old as the window is out."""
    window = Window(60.0)
    for at in (0.0, 1.0, 60.0):
        window.add(run(at, 10, 9, 1, Mishap("gone", "orders", "", f"at {at:g}")))
    assert window.whole == exact(20, 18)
    assert window.shares == {A: exact(20, 18)}
    assert window.losses == {A: 2}
    assert [str(each) for each in window.mishaps] == ["at 1", "at 60"]
    assert window.find_first_loss(A) == 1.0
    assert window.find_first_loss(B) is None


def test_runs_in_which_nothing_happened_are_not_kept():
    """They only make what is old leave."""
    window = Window(60.0)
    window.add(run(0.0))
    window.add(run(59.0, 0, 0))
    assert len(window.tallies) == 1
    window.add(run(60.0, 0, 0))
    assert window.tallies == []
    assert (window.whole, window.shares, window.losses, window.mishaps) == (Share(), {}, {}, [])


@pytest.mark.parametrize(
    "tally_", [run(1.0, 0, 0, 1), run(1.0, 0, 0, 0, RECREATED), run(1.0, 1, 1)]
)
def test_a_loss_a_mishap_or_one_entry_is_something(tally_):
    """Each alone is kept."""
    window = Window(60.0)
    window.add(tally_)
    assert window.tallies == [tally_]


@pytest.mark.parametrize(
    ("size", "good", "least", "below"),
    [(100, 98, 50, True), (100, 99, 50, False), (49, 0, 50, False), (50, 0, 50, True)],
)
def test_too_few_entries_prove_nothing(size, good, least, below):
    """From the least number on, and only below the ratio."""
    assert Window(60.0, [run(0.0, size, good)]).is_below(0.99, least) is below


def test_a_window_survives_a_restart():
    """As JSON, with every subject that missed something."""
    window = Window(60.0, [run(1.5, 10, 8, 2, RECREATED), run(2.0, 3, 3)])
    again = Window.load(json.loads(json.dumps(window.dump())), 60.0)
    assert again == window


def test_groups_that_missed_nothing_are_stored_in_the_sums_alone():
    """There may be thousands; all of them together are still right."""
    window = Window(60.0, [run(2.0, 3, 3)])
    again = Window.load(json.loads(json.dumps(window.dump())), 60.0)
    assert again.whole == window.whole
    assert again.shares == {}


def test_a_window_of_before_subjects_keeps_its_sums():
    """Six parts, no subject: nothing starts anew."""
    window = Window.load([[1.5, 10, 8, 9, 2, ["gone"]]], 60.0)
    assert window.whole == Share(10, Bounds(8, 9))
    assert (window.losses, window.mishaps) == ({}, [])
