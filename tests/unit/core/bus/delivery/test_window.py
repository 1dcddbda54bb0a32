"""The window of the verdict: sums by group, what it forgets, and what survives a restart."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sentinel.core.bus.delivery import Deadlines, GroupView, StreamView, begin_account
from sentinel.core.bus.delivery.cohort import Settlement
from sentinel.core.bus.delivery.window import LossBook, Mishap, Share, Tally, Window, tally
from sentinel.core.quantity import Bounds

NONE = Bounds(0, 0)
GOOD = Settlement("g", "ack", (0, 0), (9, 0), 100, NONE, NONE, NONE, 0)
BAD = replace(GOOD, waiting=Bounds(100, 100))
VAGUE = replace(GOOD, waiting=Bounds(0, 80))


def again(window: Window) -> Window:
    return Window.load(json.loads(json.dumps(window.dump())), window.seconds)


def test_only_the_last_seconds_count():
    """A run leaves the window exactly when its time is over; an empty run is not kept."""
    window = Window(60.0)
    window.add(tally(0.0, {"s": [BAD]}, {}))
    window.add(tally(59.9, {}, {}))
    assert [each.at for each in window.tallies] == [0.0]
    window.add(tally(60.0, {}, {}))
    assert window.tallies == []


@pytest.mark.parametrize(
    "latest", [{"losses": {("s", "g"): 1}}, {"mishaps": (Mishap("recreated", "s", "", "x"),)}]
)
def test_a_run_with_any_news_is_kept(latest):
    """A loss or a mishap alone is news."""
    window = Window(60.0)
    window.add(Tally(0.0, **latest))
    assert len(window.tallies) == 1


def test_doubt_never_makes_a_share_too_low():
    """The best case counts, and only of enough entries."""
    window = Window(60.0)
    window.add(tally(0.0, {"s": [VAGUE]}, {}))
    assert not window.is_below(0.5, 20)
    window.add(tally(10.0, {"s": [BAD, BAD]}, {}))
    assert window.is_below(0.5, 300)
    assert not window.is_below(0.5, 301)
    assert not Share(10, Bounds(0, 5)).is_below(0.5)
    assert not Share().is_below(0.5)


def test_shares_are_kept_by_stream_and_group():
    """The deadline to acknowledge only; two streams with the same group stay apart."""
    settled = {"s": [BAD, replace(BAD, stage="deliver")], "t": [GOOD, replace(GOOD, group="h")]}
    found = tally(0.0, settled, {})
    assert found.shares == {
        ("s", "g"): Share(100, NONE),
        ("t", "g"): Share(100, Bounds(100, 100)),
        ("t", "h"): Share(100, Bounds(100, 100)),
    }
    assert found.whole == Share(300, Bounds(200, 200))
    assert found.missing == {("s", "g")}


def test_sums_go_over_all_runs():
    """Shares, losses and mishaps of the window, the first loss with its time."""
    window = Window(60.0)
    mishaps = [Mishap("recreated", "s", "", "one"), Mishap("stream_gone", "t", "", "two")]
    window.add(tally(1.0, {"s": [BAD]}, {("t", "g"): 1}, mishaps[:1]))
    window.add(tally(2.0, {"s": [GOOD]}, {("s", "g"): 3}, mishaps[1:]))
    window.add(tally(3.0, {}, {("s", "g"): 4}))
    assert window.shares == {("s", "g"): Share(200, Bounds(100, 100))}
    assert window.losses == {("t", "g"): 1, ("s", "g"): 7}
    assert window.find_first_loss(("s", "g")) == 2.0
    assert window.find_first_loss(("u", "g")) is None
    assert [str(mishap) for mishap in window.mishaps] == ["one", "two"]


def test_what_is_wrong_survives_a_restart_by_name():
    """Groups that missed something with their shares; the others in the sums alone."""
    window = Window(60.0)
    mishap = Mishap("group_lost", "s", "g", "gone")
    window.add(tally(1.0, {"s": [BAD], "t": [GOOD]}, {("s", "g"): 3}, [mishap]))
    window.add(tally(2.0, {"s": [GOOD]}, {}))
    loaded = again(window)
    assert loaded.whole == window.whole
    assert loaded.shares == {("s", "g"): Share(200, Bounds(100, 100))}
    assert loaded.losses == {("s", "g"): 3}
    assert loaded.mishaps == [mishap]
    assert again(loaded) == loaded


def test_a_window_of_the_version_before_keeps_its_sums():
    """Six parts a run, losses and events without a subject: the share goes on, the rest is over."""
    old = [[10.0, 300, 0, 80, 3, ["stream s: recreated (sign)"]]]
    window = Window.load(old, 60.0)
    assert window.is_below(0.5, 20)
    assert (window.shares, window.losses, window.mishaps) == ({}, {}, [])


def test_losses_are_told_once():
    """The book says what came since the last time, of each group; a stream that is gone is
    forgotten, a new life counts from zero.
    """
    account = begin_account(Deadlines(1.0, 2.0))
    group = GroupView("g", (0, 0), 0, 1)
    account.feed(StreamView(now=1.0, added=0, length=0, last=(0, 0), groups={"g": group}))
    book = LossBook()
    assert book.take("s", account) == {}
    account.groups["g"].counted = (4, 0, 0)
    assert book.take("s", account) == {("s", "g"): 4}
    assert book.take("s", account) == {}
    account.groups["g"].counted = (6, 9, 9)
    assert book.take("s", account) == {("s", "g"): 2}
    assert book.take("s", None) == {}
    assert book.known == {}
    assert book.take("s", account) == {("s", "g"): 6}
