"""Objectives over the looks of a daemon: what is counted, written, and still there after a restart."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sentinel.core.fault import Status
from sentinel.core.model import Quality
from sentinel.core.objective import ObjectiveState
from tests.objective_watch import EVERY, IN_TIME, UP, Watch


@pytest.fixture
def watch(store, clock):
    """A watch of two objectives."""
    return Watch(store, clock, IN_TIME, UP)


def test_events_are_counted_from_the_first_look_on(watch: Watch) -> None:
    """What the counters had before is claimed by nobody; everything after it is."""
    watch.good, watch.late = 5000, 700
    for _ in range(10):
        watch.look(good=99, late=1)
    watch.settle()
    found = watch.standing()
    assert (found.counts.good, found.counts.total) == (99 * 9, 100 * 9)
    assert (found.state, found.ratio) == (ObjectiveState.MET, 0.99)
    page = watch.metrics.render().decode()
    assert (
        'sentinel_objective_events_total{check="tasks",component="assignment",objective="in-time"} 900.0'
        in page
    )
    assert (
        'sentinel_objective_state{check="tasks",component="assignment",objective="in-time",state="met"} 1.0'
        in page
    )


def test_counters_are_there_at_zero_before_the_first_event(watch: Watch) -> None:
    """So `increase()` sees the first one; what is not known is no series."""
    watch.settle()
    page = watch.metrics.render().decode()
    assert (
        'sentinel_objective_good_total{check="tasks",component="assignment",objective="in-time"} 0.0'
        in page
    )
    assert 'objective="in-time",state="no_data"} 1.0' in page
    assert "sentinel_objective_ratio{" not in page


def test_nothing_is_lost_or_counted_twice_by_a_crash(watch: Watch) -> None:
    """Killed between two writes: the counters of the check go on, and so do the events."""
    watch.look()
    watch.look(good=50)
    watch.settle()
    watch.look(good=30)
    watch.restart()
    watch.look(good=20)
    watch.clock.now += 60
    watch.settle(last=True)
    assert watch.standing().counts.total == 100


def test_what_a_scrape_has_seen_no_restart_takes_back(watch: Watch) -> None:
    """The exported counters go on where they were: Prometheus sees no one begin anew."""
    watch.look()
    for _ in range(8):
        watch.look(good=10)
        watch.settle()
    shown = watch.exported("events")
    watch.look(good=7)
    assert watch.exported("events") == shown > 0
    watch.restart()
    assert watch.exported("events") == shown
    watch.look()
    watch.settle(last=True)
    assert watch.exported("events") == 87


def test_a_time_without_sentinel_is_not_claimed(watch: Watch) -> None:
    """An hour away: neither events nor time of it are counted."""
    for _ in range(11):
        watch.look(good=1)
    watch.settle(last=True)
    watch.restart()
    watch.look(after=3600)
    watch.look()
    watch.settle(last=True)
    assert watch.standing("up").counts.seen == pytest.approx(11 * EVERY)
    assert watch.standing("up").counts.total == 13


def test_a_blind_look_is_no_event_and_no_time(watch: Watch) -> None:
    """Neither unknown nor blind looks count, and the time around them is not seen."""
    watch.look()
    watch.look(status=Status.UNKNOWN)
    watch.look(quality=Quality.BLIND)
    watch.look(status=Status.DOWN)
    watch.settle(last=True)
    found = watch.standing("up").counts
    assert (found.good, found.total) == (1, 2)
    assert found.seen == pytest.approx(3 * EVERY)
    watch.look(after=600)
    watch.settle(last=True)
    assert watch.standing("up").counts.seen == pytest.approx(3 * EVERY)


def test_a_second_look_at_the_same_thing_is_no_event(watch: Watch) -> None:
    """Failures are looked at again soon, and would weigh more."""
    watch.look()
    for _ in range(4):
        watch.look(status=Status.DOWN, after=1.0)
    watch.settle(last=True)
    assert watch.standing("up").counts.total == 2


def test_an_objective_that_was_away_does_not_claim_what_came_meanwhile(watch: Watch) -> None:
    """Removed, and given again later: what was counted while nobody asked is nobody's."""
    watch.look()
    watch.look(good=10)
    watch.settle(last=True)
    watch.follow(UP)
    watch.look(good=500)
    watch.follow(IN_TIME, UP)
    watch.look()
    watch.look(good=10)
    watch.settle(last=True)
    assert watch.standing().counts.total == 20


def test_a_reload_goes_on_with_what_was_counted(watch: Watch) -> None:
    """Another target for the same SLI: the events are the same, in the store and in the metrics."""
    watch.look()
    watch.look(good=90, late=10)
    watch.follow(replace(IN_TIME, target=0.9))
    watch.look(good=100)
    watch.settle(last=True)
    found = watch.standing()
    assert (found.counts.total, found.state) == (200, ObjectiveState.MET)
    assert [each.objective.name for each in watch.store.objectives()] == ["in-time"]
    assert 'objective="up"' not in watch.metrics.render().decode()


def test_a_slice_is_written_only_when_something_came(watch: Watch) -> None:
    """One row each five minutes at most, and none of a quiet time but that one."""
    watch.follow(IN_TIME)
    for _ in range(200):
        watch.look(good=1)
        watch.settle()
    watch.settle(last=True)
    rows = watch.store.slices("tasks/in_deadline", since=watch.clock.utcnow() - timedelta(days=1))
    assert len(rows) == 4
    assert sum(each.counts.total for each in rows) == 199
    watch.look()
    watch.clock.now += 20
    assert watch.objectives.settle().slices == []


def test_the_alarm_is_given_for_a_burst_and_not_for_ten_events(watch: Watch) -> None:
    """Ten bad events of ten page nobody; twenty of a hundred do."""
    watch.look()
    watch.look(late=10)
    watch.settle(last=True)
    assert (watch.standing().alarm, watch.standing().state) == (None, ObjectiveState.INSUFFICIENT)
    watch.look(good=80, late=10)
    watch.settle(last=True)
    assert watch.standing().alarm == "page"


def test_what_is_too_old_is_forgotten(watch: Watch, tmp_path: Path) -> None:
    """The past is as long as the longest window."""
    watch.look()
    watch.look(good=100)
    watch.settle(last=True)
    watch.clock.now += 31 * 86400
    watch.look(late=100)
    watch.settle(last=True)
    assert watch.standing().counts.good == 0
