"""Roll-ups are what incidents are counted from, and nothing else: written when a total has moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.component.health import Health
from sentinel.core.fault import Status
from sentinel.core.model import Check, Component, Finding, Histogram, Result, Row, Section, Term
from sentinel.engine.picture import Picture, WatchedCheck
from sentinel.engine.rollup import (
    DURATION_EVERY,
    DURATIONS_A_DAY,
    LookDurations,
    RollUps,
    find_totals,
)
from sentinel.metrics import Metrics
from sentinel.probes.registry import KIND as REGISTRY
from sentinel.probes.task_assignment import KIND as ASSIGNMENT
from sentinel.reports.figures import Period
from sentinel.reports.figures.measure import LOOK_BACK, gain_of
from sentinel.store import LOOK_DURATION, ROLLED_UP_WITHIN, Sample

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATE = {"queue": "q", "outcome": "late"}
MINUTE = timedelta(minutes=1)


class Minutes:
    """One check, looked at once a minute."""

    def __init__(self) -> None:
        self.now = NOW
        self.picture = Picture(Metrics(), lambda: self.now)
        self.picture.add_component(Component("c"), None)
        self.picture.add_check(_check("tasks"), ASSIGNMENT, None)
        self.rolled = RollUps(self.picture)
        self.written: list[Sample] = []
        """Readings of tasks that were late; that none was unassigned is told by another row."""

    def see(self, late: float | None, minutes: int = 1) -> None:
        """So many tasks were late so far; None: it can't be known."""
        rows = [] if late is None else [Row(LATE, {"settled": late})]
        watched = self.picture.check("tasks")
        assert watched is not None
        watched.finding = Finding(Status.UP, "", rows)
        for _ in range(minutes):
            self.written += [each for each in self.rolled.take() if each.labels]
            self.now += MINUTE

    def rows(self) -> list[tuple[int, float]]:
        """Minute and total of each reading."""
        return [(int((each.at - NOW) / MINUTE), each.value) for each in self.written]


def test_only_what_a_report_reads_of_the_past() -> None:
    """Counters of an incident's cost; neither gauges nor histograms nor the rows of each agent."""
    times = Histogram((1.0,), (2,), 2, 0.5)
    rows = [
        Row(LATE, {"settled": 3.0}),
        Row({**LATE, "outcome": "in_deadline"}, {"settled": 99.0}),
        Row({"queue": "q"}, {"unassigned": 7.0, "assignment_seconds": times}),
    ]
    finding = Finding(Status.UP, "", rows)
    watched = WatchedCheck(_check("tasks"), ASSIGNMENT, Health(), finding=finding)
    known = {("settled", tuple(LATE.items())): 3.0, ("settled", ()): 0.0}
    assert find_totals(watched) == known, "none was unassigned"
    agents = Finding(Status.UP, "", [Row({"agent": "a"}, {"agent_tasks_completed": 9.0})])
    assert not find_totals(WatchedCheck(_check("r"), REGISTRY, Health(), finding=agents))
    assert not find_totals(WatchedCheck(_check("tasks"), ASSIGNMENT, Health()))


def test_a_total_that_rests_has_two_readings() -> None:
    """The first and the last of the time in which it did; one that moves has one a minute."""
    minutes = Minutes()
    minutes.see(3, minutes=30)
    for late in (4, 5):
        minutes.see(late)
    minutes.see(5, minutes=10)
    assert minutes.rows() == [(0, 3), (29, 3), (30, 4), (31, 5)]
    minutes.written += [each for each in minutes.rolled.end() if each.labels]
    assert minutes.rows()[-1] == (41, 5)
    assert not minutes.rolled.end()


def test_at_rest_a_reading_comes_every_few_hours() -> None:
    """So that reports find one: as far back as they look, and no farther."""
    minutes = Minutes()
    minutes.see(3, minutes=24 * 60)
    gaps = [b.at - a.at for a, b in zip(minutes.written, minutes.written[1:], strict=False)]
    assert len(minutes.written) <= 1 + timedelta(days=1) / ROLLED_UP_WITHIN
    assert max(gaps) <= ROLLED_UP_WITHIN < LOOK_BACK


def test_a_blind_look_is_no_reading() -> None:
    """What was seen before it is still the last that was seen."""
    minutes = Minutes()
    minutes.see(3, minutes=5)
    minutes.see(None, minutes=5)
    minutes.see(8)
    assert minutes.rows() == [(0, 3), (4, 3), (10, 8)]


@pytest.mark.parametrize(("began", "ended", "gained"), [(40, 50, 2), (10, 20, 0), (62, 65, 4)])
def test_an_incident_costs_what_moved_in_it(began: int, ended: int, gained: int) -> None:
    """Whatever moved before it or after it: what rests is known at both ends."""
    minutes = Minutes()
    minutes.see(3, minutes=45)
    minutes.see(5, minutes=15)
    minutes.see(6, minutes=3)
    minutes.see(10, minutes=60)
    minutes.see(90)
    period = Period(NOW + began * MINUTE, NOW + ended * MINUTE)
    gain = gain_of(Term("settled", {"outcome": "late"}), minutes.written, period)
    assert gain is not None
    assert gain.amount == gained


def test_who_has_named_everything_has_told() -> None:
    """A baseline waits for that, and looks at nothing else."""
    picture = Picture(Metrics(), lambda: NOW)
    assert not picture.has_told(Section.COMPLETED)
    picture.add_check(_check("r"), REGISTRY, None)
    assert not picture.has_told(Section.COMPLETED)
    watched = picture.check("r")
    assert watched is not None
    row = Row({"agent": "a"}, {"agent_tasks_completed": 9.0})
    watched.finding = Finding(Status.UP, "", [row])
    assert picture.has_told(Section.COMPLETED)


def _check(name: str) -> Check:
    return Check(name, "k", "c", 1.0, 1.0, None)


def look(picture: Picture, name: str, duration: float) -> None:
    picture.add_check(_check(name), ASSIGNMENT, None)
    watched = picture.check(name)
    assert watched is not None
    watched.result = Result(name, Finding(Status.UP, ""), NOW, duration, "t")


def test_durations_of_looks_are_written_now_and_then() -> None:
    """At once, then every five minutes; a check that has not looked yet has none."""
    now = NOW
    picture = Picture(Metrics(), lambda: now)
    picture.add_component(Component("c"), None)
    look(picture, "a", 0.25)
    picture.add_check(_check("b"), ASSIGNMENT, None)
    lasted = LookDurations(picture)
    written = []
    for _ in range(11):
        written.append(lasted.take())
        now += MINUTE
    assert [len(each) for each in written] == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert written[0] == [Sample(NOW, "a", LOOK_DURATION, {}, 0.25)]
    now = NOW - timedelta(days=1)
    assert lasted.take(), "a clock that was set back silences it"


def test_many_checks_share_the_room() -> None:
    """Two thousand of them write no more rows a day than the store has room for."""
    assert LookDurations._pause(20) == timedelta(seconds=DURATION_EVERY)
    assert 86400 / LookDurations._pause(2000).total_seconds() * 2000 == pytest.approx(
        DURATIONS_A_DAY
    )
