"""Objectives over the looks of a daemon: what is counted, written, and still there after a restart."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sentinel.core.component.health import Health
from sentinel.core.fault import Status
from sentinel.core.model import Check, Finding, Quality, Result, Row
from sentinel.core.objective import Objective, ObjectiveState
from sentinel.engine.objectives import Objectives, read_kept
from sentinel.engine.picture import WatchedCheck
from sentinel.metrics import Metrics
from sentinel.probes import load_kinds
from sentinel.store.sqlite import SqliteStore

EVERY = 5.0
CHECK = Check("tasks", "task_assignment", "assignment", EVERY, 5.0, None)
IN_TIME = Objective("in-time", "tasks", "assignment", "in_deadline", 0.99, 30 * 86400.0)
UP = replace(IN_TIME, name="up", sli="up")


class Watch:
    """Looks at a task table, and what becomes of them; `restart` is a new daemon on the store."""

    def __init__(self, store: SqliteStore, clock, *objectives: Objective) -> None:
        self.store, self.clock, self.aims = store, clock, objectives
        self.good = self.late = 0
        self.restart()

    def restart(self, *objectives: Objective) -> None:
        """Whatever was not written is gone."""
        self.aims = objectives or self.aims
        self.metrics = Metrics(self.clock.monotonic)
        self.objectives = Objectives(self.metrics, self.clock.utcnow, self.clock.monotonic)
        self.follow(*self.aims)

    def follow(self, *objectives: Objective) -> None:
        """As at a start or a reload."""
        kept = read_kept(self.store, objectives, self.clock.utcnow())
        self.objectives.follow(objectives, kept)

    def look(
        self,
        good: int = 0,
        late: int = 0,
        status: Status = Status.UP,
        quality: Quality = Quality.OBSERVED,
        after: float = EVERY,
    ) -> None:
        """One look that found so many more settled tasks."""
        self.clock.now += after
        self.good, self.late = self.good + good, self.late + late
        counted = {"in_deadline": self.good, "late": self.late}
        rows = [Row({"queue": "q", "outcome": o}, {"settled": n}) for o, n in counted.items()]
        finding = Finding(status, "", rows if status is not Status.UNKNOWN else [])
        result = Result("tasks", finding, self.clock.utcnow(), 0.1, "", quality)
        watched = WatchedCheck(CHECK, load_kinds()["task_assignment"], Health(), verdict=status)
        self.objectives.take(watched, result)

    def settle(self, *, last: bool = False) -> None:
        """Write what is due."""
        self.store.commit(self.objectives.settle(last=last))

    def standing(self, name: str = "in-time"):
        """How an objective stands, for whoever reads the store."""
        return next(each for each in self.store.objectives() if each.objective.name == name)


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
