"""What is known now: checks by age and verdict, who is down, whose faults count, what is forgotten."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from sentinel.core.component.health import BLIND_AFTER, Health
from sentinel.core.fault import (
    Acceptance,
    Fault,
    FaultKind,
    Labels,
    Severity,
    StandingFault,
    Status,
)
from sentinel.core.model import (
    Check,
    Component,
    Finding,
    Impact,
    Incident,
    IncidentState,
    Measurement,
    Result,
    Section,
    Term,
)
from sentinel.engine.picture import LONG_AGO, Picture, WatchedCheck
from sentinel.engine.runbooks import OwnRunbooks
from sentinel.engine.views import Views
from sentinel.metrics import Metrics
from sentinel.probes import Context, Kind, Options
from sentinel.store import ComponentView
from tests.unit.engine.conftest import Clock

FINE = Finding(Status.UP, "fine")
BAD = Finding(Status.DEGRADED, "slow")


async def run(_options: object, _context: Context) -> Finding:
    return FINE


KIND = Kind(
    "kind",
    "",
    Options,
    run,
    (Measurement("lost", ""), Measurement("age", "")),
    faults=(
        FaultKind("slow", Severity.TICKET, "slow", "", ()),
        FaultKind("lost", Severity.PAGE, "lost", "", ()),
        FaultKind("odd", Severity.INFO, "odd", "", ()),
    ),
    impact=(
        Impact("lost", Section.INCIDENT, (Term("lost"),)),
        Impact("age", Section.WORK, (Term("age"),)),
    ),
)


def check(name: str, component: str = "bus") -> Check:
    return Check(name, "kind", component, 10.0, 5.0, None)


@pytest.fixture
def picture(metrics: Metrics, clock: Clock) -> Picture:
    """A bus with two checks, and a worker that needs it."""
    made = Picture(metrics, clock.utcnow)
    for component in (Component("bus"), Component("worker", depends_on=("bus",))):
        made.add_component(component, None)
    for name in ("a", "b"):
        made.add_check(check(name), KIND, Health(Status.UP))
    return made


def see(
    picture: Picture,
    name: str,
    finding: Finding = FINE,
    shown: Status = Status.UP,
    started: datetime | None = None,
    **health: object,
) -> WatchedCheck:
    """The latest run of a check, and what is believed since."""
    watched = picture.check(name)
    assert watched is not None
    watched.result = Result(name, finding, started or picture.utcnow(), 0.1, "0" * 32)
    watched.finding, watched.verdict = finding, finding.status
    given = {"window": (finding.status,), **health}
    watched.health = Health(shown, **given)  # type: ignore[arg-type]
    return watched


def fault(key: str, status: Status = Status.DEGRADED, **subject: str) -> StandingFault:
    stood: Labels = subject
    made = Fault(key, stood, status, f"{key} {subject}")
    return StandingFault("a", "bus", made, LONG_AGO, status)


# -- one check -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "status"), [(25.0, Status.DOWN), (25.1, Status.UNKNOWN)])
def test_a_verdict_counts_for_two_turns(
    picture: Picture, clock: Clock, age: float, status: Status
) -> None:
    """And its timeout; no verdict says nothing."""
    watched = see(picture, "a", shown=Status.DOWN)
    now = clock.utcnow() + timedelta(seconds=age)
    assert watched.fresh(now) is status
    watched.result = None
    assert watched.fresh(clock.utcnow()) is Status.UNKNOWN


@pytest.mark.parametrize(
    ("seconds", "status", "bad"), [(0, Status.DEGRADED, True), (1, Status.UNKNOWN, False)]
)
def test_what_was_seen_after_an_instant(
    picture: Picture, seconds: int, status: Status, bad: bool
) -> None:
    """Hard or soft, the worse; what began before it says nothing."""
    watched = see(picture, "a", BAD)
    instant = picture.utcnow() + timedelta(seconds=seconds)
    assert watched.status_after(instant) is status
    assert watched.is_bad_since(instant) is bad
    soft = see(picture, "a", FINE, shown=Status.DOWN)
    assert soft.status_after(picture.utcnow()) is Status.DOWN
    assert not soft.is_bad_since(picture.utcnow())


def test_accepted_faults_do_not_count(picture: Picture) -> None:
    """They are told apart, by key and number of subjects."""
    watched = see(picture, "a", BAD)
    word = Acceptance("slow", {}, "known", LONG_AGO)
    accepted = replace(fault("slow", stream="3"), accepted=word)
    watched.standing = (fault("slow", stream="1"), fault("slow", stream="2"), accepted)
    assert watched.count_faults() == ({"slow": 2}, {"slow": 1})
    assert watched.counting == list(watched.standing[:2])


def test_what_a_person_would_look_up(picture: Picture) -> None:
    """What is bad now; else what was, as long as that is believed."""
    watched = see(picture, "a", FINE, shown=Status.DOWN)
    watched.blamed = "lost"
    assert watched.matter == "lost"
    watched.standing = (fault("slow"),)
    assert watched.matter == "slow"
    watched.standing = ()
    watched.health = Health(Status.UP)
    assert watched.matter == ""


def test_what_is_urgent_comes_first(picture: Picture) -> None:
    """Down before degraded, then who must hear of it; what nobody declared is last."""
    watched = see(picture, "a", BAD, shown=Status.DOWN)
    keys = ("odd", "unheard", "slow", "lost")
    watched.standing = (*(fault(key) for key in keys), fault("odd", Status.DOWN, stream="s"))
    found = [(each.key, each.status) for _, each in picture.find_faults("bus")]
    assert found == [
        ("odd", Status.DOWN),
        ("lost", Status.DEGRADED),
        ("slow", Status.DEGRADED),
        ("odd", Status.DEGRADED),
        ("unheard", Status.DEGRADED),
    ]


def test_a_fault_weighs_no_more_than_its_check_is_believed(picture: Picture) -> None:
    """One down run of a check that is degraded is no more urgent than a page."""
    watched = see(picture, "a", BAD, shown=Status.DEGRADED)
    watched.standing = (fault("slow", Status.DOWN), fault("lost", Status.DEGRADED))
    assert [each.key for _, each in picture.find_faults("bus")] == ["lost", "slow"]
    watched.health = Health(Status.UP)
    assert picture.find_faults("bus") == []


def test_unknown_faults_are_no_cause(picture: Picture) -> None:
    """What can't be judged blames nobody."""
    watched = see(picture, "a", BAD, shown=Status.DEGRADED)
    watched.standing = (fault("odd", Status.UNKNOWN), fault("slow"))
    assert [each.key for _, each in picture.find_faults("bus")] == ["slow"]


# -- one component ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "window", "age", "down"),
    [
        (Status.DOWN, (Status.DOWN,), 0.0, True),
        (Status.DOWN, (Status.DOWN, Status.UP), 0.0, False),
        (Status.DOWN, (), 0.0, False),
        (Status.DEGRADED, (Status.DOWN,), 0.0, False),
        (Status.DOWN, (Status.DOWN,), 30.0, False),
    ],
)
def test_observed_down(
    picture: Picture,
    clock: Clock,
    shown: Status,
    window: tuple[Status, ...],
    age: float,
    down: bool,
) -> None:
    """Believed, fresh, and the very latest verdict says so."""
    see(picture, "a")
    see(picture, "b", BAD, shown, window=window)
    clock.now += age
    assert picture.is_observed_down("bus") is down
    assert not picture.is_observed_down("worker")


def test_the_fewest_passes_count(picture: Picture) -> None:
    """Of all checks; none of a component without one."""
    see(picture, "a", passes=5)
    see(picture, "b", passes=3)
    now = picture.utcnow()
    bus, worker = (
        Incident("i", name, now, IncidentState.OPEN, Status.DOWN, "") for name in ("bus", "worker")
    )
    assert picture.passes(bus) == 3
    assert picture.passes(worker) == 0


def test_passes_are_counted_by_what_was_before(picture: Picture) -> None:
    """A check that was degraded before a failure need not pass: it must not be down. One that was
    added since is measured in the same way.
    """
    see(picture, "a", passes=5)
    see(picture, "b", BAD, Status.DEGRADED, not_down=4)
    now, before = picture.utcnow(), {"a": Status.UP, "b": Status.DEGRADED}
    incident = Incident("i", "bus", now, IncidentState.OPEN, Status.DOWN, "", before=before)
    assert picture.passes(incident) == 4
    assert picture.compare("bus", incident) is Status.UP
    picture.add_check(Check("c", "kind", "bus", 10.0, 5.0, None), KIND, None)
    see(picture, "c", BAD, Status.DEGRADED, not_down=1)
    assert picture.passes(incident) == 1
    assert picture.compare("bus", incident) is Status.UP
    see(picture, "a", BAD, Status.DEGRADED, not_down=9)
    assert picture.passes(incident) == 0
    assert picture.compare("bus", incident) is Status.DEGRADED
    assert picture.compare("bus", None) is Status.DEGRADED


def test_how_it_was_before(picture: Picture) -> None:
    """The last status that was held for long; one that never was has to be up."""
    see(picture, "a", BAD, Status.DOWN, steady=Status.DEGRADED)
    see(picture, "b", steady=Status.UNKNOWN)
    assert picture.before("bus") == {"a": Status.DEGRADED, "b": Status.UP}


def test_one_incident_lies_beneath_another(picture: Picture, clock: Clock) -> None:
    """The older one goes on when the younger is closed; its own end changes nothing above it."""
    old, young = (
        Incident(word, "bus", clock.utcnow(), IncidentState.OPEN, Status.DEGRADED, "")
        for word in ("old", "young")
    )
    picture.keep_incident(old)
    picture.lay_beneath("bus")
    picture.keep_incident(young)
    assert (picture.incidents["bus"], picture.beneath["bus"]) == (young, old)
    moved = replace(old, summary="worse")
    picture.keep_incident(moved)
    assert (picture.incidents["bus"], picture.beneath["bus"]) == (young, moved)
    picture.keep_incident(replace(young, state=IncidentState.CLOSED))
    assert (picture.incidents, picture.beneath) == ({"bus": moved}, {})
    picture.lay_beneath("bus")
    picture.keep_incident(young)
    picture.keep_incident(replace(moved, state=IncidentState.CLOSED))
    assert (picture.incidents, picture.beneath) == ({"bus": young}, {})


def test_one_check_that_flaps_is_enough(picture: Picture) -> None:
    """The component does, too."""
    see(picture, "a")
    assert not picture.is_flapping("bus")
    see(picture, "b", flapping=True)
    assert picture.is_flapping("bus")


def test_the_worst_check(picture: Picture) -> None:
    """Among those that have run; a blind one shows unknown."""
    assert picture.find_worst_check("bus") is None
    see(picture, "a")
    worst = see(picture, "b", BAD, Status.DEGRADED)
    assert picture.find_worst_check("bus") is worst
    worst.health = replace(worst.health, blind=BLIND_AFTER)
    assert worst.health.shown is Status.UNKNOWN


def test_the_worse_of_two_checks_after_an_instant(picture: Picture) -> None:
    """One that did not run since says nothing of its own."""
    instant = picture.utcnow()
    see(picture, "a", started=instant)
    see(picture, "b", BAD, started=instant)
    assert picture.status_after("bus", instant) is Status.DEGRADED


def test_the_root_cause_is_down_itself(picture: Picture) -> None:
    """What a component needs, as far as it is down."""
    now = picture.utcnow()
    picture.set_status("worker", Status.DOWN, now)
    assert picture.needed("worker") == ["bus"]
    assert picture.find_root_cause("worker") == ""
    picture.set_status("bus", Status.DOWN, now)
    assert picture.find_root_cause("worker") == "bus"
    assert picture.find_root_cause("bus") == ""
    assert picture.since["bus"] == now


def test_the_next_failure_begins_a_story_of_its_own(picture: Picture) -> None:
    """After a reset, of every check."""
    for name in ("a", "b"):
        see(picture, name).failing_since = picture.utcnow()
    picture.forget_failures("bus")
    assert [watched.failing_since for watched in picture.of("bus")] == [None, None]


# -- what comes and goes ---------------------------------------------------------------------------


def test_an_incident_is_kept_until_it_is_closed(picture: Picture, metrics: Metrics) -> None:
    """And shown, also that it was given up."""
    incident = Incident(
        "i1", "bus", picture.utcnow(), IncidentState.OPEN, Status.DOWN, "x", exhausted=True
    )
    picture.keep_incident(incident)
    assert picture.incidents == {"bus": incident}
    assert metrics.incidents_open.labels("bus").value == 1
    assert metrics.exhausted.labels("bus").value == 1
    picture.keep_incident(replace(incident, state=IncidentState.CLOSED, exhausted=False))
    assert picture.incidents == {}
    assert metrics.incidents_open.labels("bus").value == 0
    assert metrics.exhausted.labels("bus").value == 0


def test_a_component_from_before_a_restart(picture: Picture) -> None:
    """Its open incident is known; its status is not. Known ones keep theirs."""
    incident = Incident("i2", "db", picture.utcnow(), IncidentState.OPEN, Status.DOWN, "x")
    picture.add_component(Component("db"), incident)
    assert (picture.statuses["db"], picture.incidents["db"]) == (Status.UNKNOWN, incident)
    picture.set_status("db", Status.UP, picture.utcnow())
    picture.add_component(Component("db"), None)
    assert picture.statuses["db"] is Status.UP
    picture.remove_component("db")
    assert "db" not in picture.components.keys() | picture.statuses.keys()
    assert "db" not in picture.incidents.keys() | picture.since.keys()


def test_what_was_believed_before_a_restart_is_marked(picture: Picture) -> None:
    """As restored; a check that is known keeps its own belief and its faults."""
    stood = (fault("slow"),)
    picture.add_check(check("c"), KIND, Health(Status.DOWN), stood)
    known = picture.check("c")
    assert known is not None
    assert (known.health.status, known.health.restored) == (Status.DOWN, True)
    assert known.standing == stood
    picture.add_check(check("c"), KIND, Health(Status.UP), ())
    again = picture.check("c")
    assert again is not None
    assert (again.health, again.standing) == (known.health, stood)
    picture.add_check(check("d"), KIND, None)
    fresh = picture.check("d")
    assert fresh is not None
    assert fresh.health == Health()


def test_a_check_that_is_gone(picture: Picture) -> None:
    """Is forgotten everywhere; one that nobody knows is no matter."""
    picture.remove_check("a")
    picture.remove_check("nobody")
    assert picture.check("a") is None
    assert picture.last_result("a") is None
    assert picture.checks_of("bus") == ["b"]
    assert [state[0].name for state in picture.results()] == ["b"]


def test_a_configuration_brings_its_own_order(picture: Picture) -> None:
    """That of dependencies; what needs what is read anew."""
    picture.replace_components([Component("worker", depends_on=("db",)), Component("db")])
    assert list(picture.components) == ["worker", "db"]
    edges = picture.depends_on()
    assert (list(edges), len(edges), edges["worker"]) == (["worker", "db"], 2, ("db",))


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_clock_that_is_set_makes_nothing_older(clock: Clock, metrics: Metrics, step: float):
    """Every instant moves along: verdicts stay as fresh, faults stand as long as before."""
    picture = Picture(metrics, clock.utcnow)
    picture.add_component(Component("bus"), None)
    check = Check("slow-check", "kind", "bus", 60.0, 5.0, Options())
    now = clock.utcnow()
    standing = StandingFault(
        "slow-check", "bus", Fault("slow", {}, BAD.status, "slow"), now, BAD.status
    )
    picture.add_check(check, KIND, Health(Status.UP, since=now, last_observed=now), [standing])
    watched = picture.of("bus")[0]
    watched.result = Result("slow-check", FINE, now, 0.1, "t")
    watched.finding, watched.failing_since = FINE, now
    picture.set_status("bus", Status.UP, now)
    clock.set_back -= step
    clock.now += 5
    assert picture.follow_clock(step) == [watched]
    for instant in (
        watched.result.started, watched.failing_since, watched.health.since,
        watched.health.last_observed, picture.since["bus"], picture.present_since["bus"],
        watched.standing[0].began,
    ):  # fmt: skip
        assert clock.utcnow() - instant == timedelta(seconds=5)
    assert watched.fresh(clock.utcnow()) is Status.UP
    assert watched.at is LONG_AGO


def shown(clock: Clock, status: Status) -> ComponentView:
    """As people saw the bus an hour ago, when sentinel ended."""
    long_ago = clock.utcnow() - timedelta(hours=1)
    more = {"present": Status.DOWN, "present_since": long_ago}
    return ComponentView("bus", status, long_ago, "x", (), "", None, 0, "", **more)


@pytest.mark.parametrize(
    ("now", "for_an_hour"), [(Status.DOWN, True), (Status.UP, False)], ids=["same", "other"]
)
def test_a_restart_of_sentinel_makes_nothing_younger(
    metrics: Metrics, clock: Clock, now: Status, for_an_hour: bool
) -> None:
    """What is as it was is so since then; what has changed meanwhile, since it was seen."""
    made, before = Picture(metrics, clock.utcnow), shown(clock, Status.DOWN)
    made.add_component(Component("bus"), None, before=before)
    made.set_status("bus", now, clock.utcnow())
    since = before.since if for_an_hour else clock.utcnow()
    assert (made.since["bus"], made.present_since["bus"]) == (since, since)
    made.set_status("bus", Status.DEGRADED, clock.utcnow())
    made.set_status("bus", Status.DOWN, clock.utcnow())
    assert made.since["bus"] == clock.utcnow()


@pytest.mark.parametrize("with_incident", [True, False])
def test_nothing_healthy_is_told_of_what_is_down(
    metrics: Metrics, clock: Clock, with_incident: bool
) -> None:
    """The first look after a restart of sentinel passes: what was wrong is known to the incident."""
    made = Picture(metrics, clock.utcnow)
    incident = Incident(
        "i", "bus", clock.utcnow(), IncidentState.OPEN, Status.DOWN, "bus: refused", check="a"
    )
    made.add_component(Component("bus"), incident if with_incident else None)
    made.add_check(check("a"), KIND, Health(Status.DOWN, clock.utcnow()))
    watched = made.check("a")
    assert watched is not None
    watched.finding, watched.verdict = FINE, Status.UP
    views = Views(made, None, OwnRunbooks(), str, time.monotonic)  # type: ignore[arg-type] - nobody is asked
    told = "refused" if with_incident else "passes again, not believed yet: fine"
    assert views.describe_cause("bus").headline == told


def test_who_speaks_for_a_component(metrics: Metrics, clock: Clock) -> None:
    """The first of its worst checks, as `find_worst_check` has it; before it is judged nobody knows."""
    made = Picture(metrics, clock.utcnow)
    made.add_component(Component("bus"), None)
    found = []
    for name in ("a", "b", "c"):
        made.add_check(check(name), KIND, Health(Status.UP, clock.utcnow()))
        watched = made.check(name)
        assert watched is not None
        watched.finding = FINE
        found.append(watched)
    assert all(map(made.speaks_for_all, found))
    for worst, statuses in ((0, "UUU"), (1, "UDU"), (2, "UGD"), (0, "DDD")):
        names = {"U": Status.UP, "G": Status.DEGRADED, "D": Status.DOWN}
        for watched, letter in zip(found, statuses, strict=True):
            watched.health = Health(names[letter], clock.utcnow())
        made.set_status("bus", max((w.shown for w in found), key=lambda s: s.rank), clock.utcnow())
        assert [made.speaks_for_all(each) for each in found] == [n == worst for n in range(3)]
        assert made.find_worst_check("bus") is found[worst]
