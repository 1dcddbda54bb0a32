"""Objectives while people work on a component: with a known number of bad events in it and beside it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sentinel.core.fault import Status
from sentinel.core.notice.maintenance import Maintenance, MaintenanceWindow
from sentinel.core.schedule.crontab import read_crontab
from sentinel.engine.notifier import NoticeRules, Notifier
from sentinel.engine.picture import Picture
from tests.objective_watch import EVERY, IN_TIME, UP, Watch
from tests.unit.engine.conftest import Clock

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def watch(store, clock) -> Watch:
    """A watch of two objectives."""
    return Watch(store, clock, IN_TIME, UP)


def work(watch: Watch, began: float, ended: float, component: str = "assignment") -> None:
    """People work from and until so many seconds from now."""
    now = watch.clock.utcnow()
    first, last = (now + timedelta(seconds=each) for each in (began, ended))
    time = Maintenance("w", (component,), "x", first, last)
    watch.maintenance = lambda: (time,)
    watch.objectives.heed(watch.maintenance)


def counted(watch: Watch, name: str = "in-time") -> tuple[float, float]:
    """Bad events, and all of them, of an objective."""
    watch.settle(last=True)
    counts = watch.standing(name).counts
    return counts.bad, counts.total


def test_bad_events_within_are_left_out(watch: Watch) -> None:
    """Ground truth: 3 bad ones before, 40 within, 5 after, each looks away from an edge."""
    watch.look()
    watch.look(good=97, late=3)
    work(watch, 1.0, 8 * EVERY + 1.0)
    for _ in range(8):
        watch.look(late=5, status=Status.DOWN)
    watch.look()  # began after it, and what it gained may be of before
    watch.look(good=95, late=5)
    assert counted(watch) == (8, 200)
    assert counted(watch, "up") == (0, 4)
    assert (watch.exported("events"), watch.exported("good")) == (200, 192)
    standing = watch.standing()
    assert standing.maintenance == 8 * EVERY
    assert standing.counts.seen == pytest.approx(EVERY)


def test_of_another_component_nothing_is_left_out(watch: Watch) -> None:
    """A window is of the components that it names."""
    work(watch, -1.0, 1000.0, component="bus*")
    watch.look()
    watch.look(good=1, late=9)
    assert counted(watch) == (9, 10)
    assert watch.standing().maintenance == 0


def test_a_look_that_may_have_counted_in_it_is_left_out(watch: Watch) -> None:
    """One that was under way when it began, and the first one after its end."""
    watch.look()
    work(watch, EVERY, 2 * EVERY - 1.0)  # it begins at the instant at which the next look ends
    watch.look(late=7)
    watch.look(late=7)
    watch.look(good=1, late=1)
    assert counted(watch) == (1, 2)


def test_it_ends_while_a_look_is_under_way(watch: Watch) -> None:
    """That look began in it; what the next one gained may be of the time before its end, too."""
    watch.look()
    work(watch, -2.0, EVERY + 2.0)
    watch.look(late=50, took=0.0)
    watch.look(late=10, took=4.0)  # began a second before the end, ended after it
    watch.look(late=20)
    assert counted(watch) == (0, 0)
    watch.look(good=8, late=2)
    assert counted(watch) == (2, 10)


def test_a_look_counts_as_such_for_as_long_as_it_took(watch: Watch) -> None:
    """Of a look that began in it nothing is said; the next one is an event again."""
    watch.look()
    work(watch, 1.0, EVERY - 1.0)
    watch.look(status=Status.DOWN, took=2.0)
    watch.look(status=Status.DOWN)
    assert counted(watch, "up") == (1, 2)


@pytest.mark.parametrize("written", [True, False])
def test_a_restart_within_or_after_it_brings_nothing_back(watch: Watch, *, written: bool) -> None:
    """Killed after it, with and without a write in it: the gain since the last write reaches into it."""
    watch.look()
    watch.look(good=10)
    watch.settle(last=True)
    work(watch, 1.0, 6 * EVERY)
    for _ in range(5):
        watch.look(late=8)
        if written:
            watch.settle(last=True)
    watch.look(after=3 * EVERY)
    watch.restart()
    watch.look(late=4)  # since the last write, which may have been in it
    watch.look(good=5, late=1)
    assert counted(watch) == (1, 16)
    assert watch.exported("events") == 16


def test_no_slice_goes_on_over_it(watch: Watch) -> None:
    """Or a window whose edge cuts the slice would get a part of events that were all before it."""
    watch.look()
    watch.look(good=60)
    work(watch, 1.0, 100.0)
    watch.look(late=1)
    watch.look(after=120.0)
    watch.look(good=40)
    watch.settle(last=True)
    rows = watch.store.slices("tasks/in_deadline", since=watch.clock.utcnow() - timedelta(days=1))
    assert [each.counts.total for each in rows] == [60, 40]
    assert rows[0].ended < rows[1].began - timedelta(seconds=100)


@pytest.mark.parametrize(
    "began",
    [
        # The clock is put forward at two: 1:30 to 3:30, one hour that passes.
        datetime(2027, 3, 28, 0, 30, tzinfo=UTC),
        # It is put back at three: the window begins at the first 1:30, and lasts one hour.
        datetime(2027, 10, 30, 23, 30, tzinfo=UTC),
    ],
    ids=["forward", "back"],
)
async def test_a_window_by_the_wall_over_a_change_of_the_clock(
    store, recorder, metrics, clock: Clock, began: datetime
) -> None:
    """A look a minute, one bad event each: those of an hour are left out, and the one at its edge."""
    nightly = MaintenanceWindow(
        "w", ("*",), "x", cron=read_crontab("30 1 * * *"), zone=BERLIN, lasts=3600.0
    )
    notifier = Notifier(store, recorder, metrics, Picture(metrics, clock.utcnow), clock.utcnow)
    notifier.rules = NoticeRules(windows=(nightly,))
    clock.now += (began - clock.utcnow()).total_seconds() - 600
    watch = Watch(store, clock, IN_TIME, maintenance=notifier.list_maintenance)
    seen = list[datetime]()
    watch.look(after=0.0)
    for _ in range(90):
        before = watch.objectives._sources["tasks/in_deadline"].fresh.total
        watch.look(late=1, after=60.0)
        await notifier.turn([])
        if watch.objectives._sources["tasks/in_deadline"].fresh.total == before:
            seen.append(clock.utcnow())
    assert [(each - began).total_seconds() for each in (seen[0], seen[-1])] == [0, 3600]
    assert len(seen) == 61
