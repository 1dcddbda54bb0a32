"""One incident per component and episode; root cause first; closed only after observed health."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.component.incident import (
    Cause,
    close,
    compare_with_before,
    find_degraded,
    follow_clock,
    incident_id,
    is_beside,
    is_calm,
    is_over,
    step,
)
from sentinel.core.fault import Fault, Status
from sentinel.core.model import IncidentState, RestartPolicy

T0 = datetime(2026, 1, 5, 12, 30, 15, 123456, tzinfo=UTC)
POLICY = RestartPolicy(close_after=600.0)
UP, DEGRADED, DOWN, UNKNOWN = Status.UP, Status.DEGRADED, Status.DOWN, Status.UNKNOWN


def cause_of(check, text, key="refused", subject=None, *, runbook="api-failing"):
    """A fault that stands, and the line that it makes."""
    fault = Fault(key, subject or {}, DOWN, text, parameters=subject or {})
    return Cause(check, text, fault, runbook)


REFUSED = cause_of("api-check", "refused")
EXITED = cause_of("api-process", "exited", "not_running", runbook="process-down")


def turn(incident, status, seconds=0.0, *, blocked_by="", blind=0.0, cause=REFUSED):
    """One turn at T0 + seconds: the incident and the kinds of what was written into its timeline."""
    now = T0 + timedelta(seconds=seconds)
    after, events = step(incident, "api", status, cause, blocked_by, POLICY, now, blind)
    return after, [event.kind for event in events]


def opened(status=DOWN, **options):
    """An incident that has just been opened."""
    return turn(None, status, **options)[0]


@pytest.mark.parametrize("status", [UP, UNKNOWN])
def test_health_and_ignorance_open_nothing(status):
    """No incident without a failure."""
    assert turn(None, status) == (None, [])


@pytest.mark.parametrize("status", [DEGRADED, DOWN])
def test_a_failure_opens_one(status):
    """With component, check, summary and instant."""
    incident, events = turn(None, status)
    assert events == ["opened"]
    assert (incident.component, incident.status, incident.check) == ("api", status, "api-check")
    assert (incident.summary, incident.opened, incident.state) == (
        "refused",
        T0,
        IncidentState.OPEN,
    )


def test_ids_are_readable_and_unique_per_millisecond():
    """Time first, so that they sort; the component behind it."""
    assert incident_id("api", T0) == "20260105T123015.123Z-api"


def test_unknown_changes_nothing():
    """Blindness neither heals nor worsens."""
    incident = opened()
    assert turn(incident, UNKNOWN, 100) == (incident, [])


def test_it_follows_the_status():
    """Worse and better are both written down; the summary is of what stands now."""
    incident = opened(DEGRADED)
    incident, events = turn(incident, DOWN, 5, cause=EXITED)
    assert (incident.status, incident.summary, incident.check, events) == (
        DOWN,
        "exited",
        "api-process",
        ["changed"],
    )
    incident, events = turn(incident, DEGRADED, 9)
    assert (incident.status, incident.summary, events) == (DEGRADED, "refused", ["changed"])


def test_recovered_at_the_first_health():
    """Recovering, with the recovery time in the text; nothing is closed yet."""
    incident = opened()
    now = T0 + timedelta(seconds=12.34)
    healed, events = step(incident, "api", UP, Cause(), "", POLICY, now)
    assert (healed.state, healed.recovered, healed.closed) == (IncidentState.RECOVERING, now, None)
    assert events[0].text == "api is healthy after 12.3 s"


def test_closed_after_ten_minutes_of_health_and_not_before():
    """600 s from the recovery on."""
    incident, _ = turn(opened(), UP, 10)
    still, events = turn(incident, UP, 609.9)
    assert (still, events) == (incident, [])
    closed, events = turn(incident, UP, 610)
    assert (closed.state, events) == (IncidentState.CLOSED, ["closed"])


def test_time_that_nobody_observed_is_no_health():
    """Blind seconds are taken off the ten minutes."""
    incident, _ = turn(opened(), UP, 10)
    assert turn(incident, UP, 700, blind=100)[0].state is IncidentState.RECOVERING
    assert turn(incident, UP, 710, blind=100)[0].state is IncidentState.CLOSED


def test_it_says_until_when_it_is_watched():
    """From the recovery on; what sentinel did not see is added; a relapse ends it."""
    incident, _ = turn(opened(), UP, 10)
    assert incident.watched_until == T0 + timedelta(seconds=610)
    assert turn(incident, UP, 20)[0] is incident
    assert turn(incident, UP, 20, blind=0.5)[0] is incident
    later = turn(incident, UP, 200, blind=100)[0]
    assert later.watched_until == T0 + timedelta(seconds=710)
    assert turn(later, DOWN, 300)[0].watched_until is None
    assert turn(incident, UP, 20, blind=0.99)[0] is incident
    moved = turn(incident, UP, 20, blind=1.0)[0]
    assert moved.watched_until == T0 + timedelta(seconds=611)
    older = replace(incident, watched_until=None)  # by an older sentinel
    assert turn(older, UP, 20)[0] == incident


def test_a_relapse_belongs_to_the_same_incident():
    """Down again while recovering: open again, same id, the ten minutes begin anew."""
    first = opened()
    recovering, _ = turn(first, UP, 10)
    again, events = turn(recovering, DOWN, 300)
    assert (again.id, again.state, again.recovered, events) == (
        first.id,
        IncidentState.OPEN,
        None,
        ["relapsed"],
    )
    recovering, _ = turn(again, UP, 400)
    assert turn(recovering, UP, 999)[0].state is IncidentState.RECOVERING


def test_a_milder_relapse_has_the_milder_status():
    """Degraded again after down: the incident says degraded."""
    recovering, _ = turn(opened(), UP, 10)
    again, events = turn(recovering, DEGRADED, 20)
    assert (again.status, events) == (DEGRADED, ["relapsed"])


def test_the_worst_status_is_remembered():
    """Down, then degraded, then healthy: at worst it was down. An older record starts at its
    latest.
    """
    milder, _ = turn(opened(), DEGRADED, 5)
    assert (milder.status, milder.worst) == (DEGRADED, DOWN)
    assert turn(milder, UP, 9)[0].worst is DOWN
    assert turn(opened(DEGRADED), DOWN, 5)[0].worst is DOWN
    assert turn(replace(opened(DEGRADED), worst=None), DEGRADED, 5)[0].worst is DEGRADED


def test_the_root_cause_outlives_the_recovery():
    """Who blocked it first is known when nobody blocks it any more; who was never blocked has no
    other cause.
    """
    blocked, _ = turn(opened(), DOWN, 1, blocked_by="bus")
    later, _ = turn(blocked, DOWN, 2, blocked_by="database")
    healed, _ = turn(later, UP, 9)
    assert (healed.blocked_by, healed.root_cause) == ("", "bus")
    assert opened(blocked_by="bus").root_cause == "bus"
    assert turn(opened(), UP, 9)[0].root_cause == ""


def test_after_closing_a_failure_opens_a_new_one():
    """Another episode, another id."""
    closed, _ = turn(turn(opened(), UP, 10)[0], UP, 700)
    fresh, events = turn(closed, DOWN, 800)
    assert events == ["opened"]
    assert fresh.id != closed.id


def test_closing_ends_exhaustion():
    """Ten minutes of spontaneous health give the component back to automation."""
    exhausted = replace(opened(), exhausted=True)
    recovering, _ = turn(exhausted, UP, 10)
    assert recovering.exhausted
    assert not turn(recovering, UP, 700)[0].exhausted


def test_the_root_cause_outlives_the_block():
    """What was found down with it stays its cause when both are healthy again; a relapse is a new
    story.
    """
    incident = turn(opened(), DOWN, 2, blocked_by="database")[0]
    incident = turn(incident, UP, 8)[0]
    assert (incident.blocked_by, incident.root_cause) == ("", "database")
    assert turn(incident, DOWN, 20)[0].root_cause == ""
    at_last = turn(opened(), DOWN, 30, blocked_by="database")[0]
    assert at_last.root_cause == "database"
    assert turn(opened(), DOWN, 30.001, blocked_by="database")[0].root_cause == ""
    later = turn(opened(), DOWN, 300, blocked_by="database")[0]
    assert (later.blocked_by, later.root_cause) == ("database", "")


def test_blocked_and_unblocked_are_said():
    """The root cause stands in the incident as long as it blocks."""
    incident, events = turn(None, DOWN, blocked_by="bus")
    assert (incident.blocked_by, events) == ("bus", ["opened", "blocked"])
    assert (incident.unblocked, incident.announced) == (None, False)
    incident, events = turn(incident, DOWN, 5)
    assert (incident.blocked_by, events) == ("", ["unblocked"])
    assert incident.unblocked == T0 + timedelta(seconds=5)
    assert turn(incident, DOWN, 6)[0].unblocked == incident.unblocked
    incident, events = turn(incident, DOWN, 6, blocked_by="bus")
    assert (incident.blocked_by, events) == ("bus", ["blocked"])
    assert incident.announced  # who was told once is not told anew
    assert turn(opened(), DOWN, 6, blocked_by="bus")[0].announced


def settle(incident, seconds=0.0, *, past=True):
    """A turn in which only what was lost for good is wrong, or more than that."""
    now = T0 + timedelta(seconds=seconds)
    after, events = step(incident, "api", DEGRADED, REFUSED, "", POLICY, now, past=past)
    return after, [event.kind for event in events]


def test_what_is_only_of_the_past_settles():
    """Said once, from its first turn or from the recovery on; what is wrong again unsettles it."""
    assert settle(None)[0].settled == T0
    incident, events = settle(opened(DEGRADED), 5)
    assert (incident.settled, events) == (T0 + timedelta(seconds=5), ["settled"])
    again, events = settle(incident, 9)
    assert (again.settled, events) == (incident.settled, [])
    assert settle(incident, 9, past=False)[0].settled is None
    healed = turn(incident, UP, 12)[0]
    assert (healed.recovered, healed.settled) == (incident.settled, None)
    back, events = settle(healed, 15)
    assert (back.settled, events) == (incident.settled, ["relapsed"])


def test_when_a_settled_one_is_over():
    """After as much observed health as closes another; one that recovers closes by itself."""
    incident = settle(opened(DEGRADED), 5)[0]

    def is_over_at(seconds, *, blind=0.0, of=incident):
        return is_over(of, POLICY, T0 + timedelta(seconds=seconds), blind)

    assert [is_over_at(604.9), is_over_at(605)] == [False, True]
    assert [is_over_at(605, blind=0.1), is_over_at(605.1, blind=0.1)] == [False, True]
    assert not is_over_at(9999, of=opened(DEGRADED))
    assert not is_over_at(9999, of=replace(incident, state=IncidentState.RECOVERING))


def test_closed_for_another_reason_than_health():
    """It ends now, and whoever was given up may be acted upon again."""
    incident, _ = turn(None, DOWN)
    ended = close(replace(incident, exhausted=True), T0)
    assert (ended.state, ended.closed, ended.exhausted) == (IncidentState.CLOSED, T0, False)


def test_the_headline_follows_the_fault_to_another_subject():
    """The agent that is bad now, not yesterday's; how it began stays known."""
    first = cause_of("agents", "agent-2 is silent", "silent", {"agent": "agent-2"})
    second = cause_of("agents", "agent-4 is frozen", "frozen", {"agent": "agent-4"}, runbook="thaw")
    incident, _ = turn(None, DOWN, cause=first)
    incident, _ = turn(incident, DOWN, 5, cause=second)
    assert (incident.summary, incident.fault) == ("agent-4 is frozen", "frozen")
    assert incident.subject == incident.parameters == {"agent": "agent-4"}
    assert (incident.runbook, incident.began_as) == ("thaw", "agent-2 is silent")


def test_a_look_that_finds_nothing_keeps_what_was_known():
    """Believed to be bad until it is proven healthy: the headline stays that of the fault."""
    incident = opened()
    after, _ = turn(incident, DOWN, 5, cause=Cause("api-check", "answers in 3 ms"))
    assert (after.summary, after.fault, after.runbook) == ("refused", "refused", "api-failing")


def test_a_relapse_tells_the_fault_of_the_relapse():
    """Also when it recovered in between."""
    incident, _ = turn(opened(), UP, 5)
    incident, events = turn(incident, DOWN, 9, cause=EXITED)
    assert (incident.summary, incident.fault, events) == ("exited", "not_running", ["relapsed"])


# -- what was before a failure ---------------------------------------------------------------------

BEFORE = {"api-check": UP, "api-load": DEGRADED}


def go_down(incident, before, status=DOWN):
    return step(incident, "api", status, REFUSED, "", POLICY, T0, before=before)[0]


def test_how_it_was_is_noted_once_when_it_goes_down():
    """Not of a degradation, and not again at a relapse."""
    assert go_down(None, BEFORE).before == BEFORE
    assert go_down(None, BEFORE, DEGRADED).before == {}
    grown = go_down(opened(DEGRADED), BEFORE)
    assert grown.before == BEFORE
    assert go_down(grown, {"api-check": DEGRADED}).before == BEFORE


def test_every_check_is_measured_by_its_own_past():
    """Without a past nothing is excused."""
    shown = {"api-check": DEGRADED, "api-load": DEGRADED, "api-new": DEGRADED}
    incident = go_down(None, BEFORE)
    expected = {"api-check": DEGRADED, "api-load": UP, "api-new": UP}
    assert compare_with_before(incident, shown) == expected
    assert compare_with_before(opened(DEGRADED), shown) == shown
    assert compare_with_before(None, shown) == shown
    assert find_degraded(incident) == ["api-load"]


@pytest.mark.parametrize(
    ("status", "known", "present", "before", "beside"),
    [
        (DEGRADED, {}, DOWN, BEFORE, True),
        (DEGRADED, {}, DOWN, {"api-check": UP}, False),  # it was degraded for a moment only
        (DEGRADED, {}, DEGRADED, BEFORE, False),
        (DOWN, {}, DOWN, BEFORE, False),  # the failure itself goes on
        (DEGRADED, BEFORE, DOWN, BEFORE, False),  # nothing new was degraded before this one
        (DEGRADED, {"api-load": DEGRADED}, DOWN, {"api-x": DEGRADED}, True),
    ],
)
def test_a_failure_beside_a_degradation(status, known, present, before, beside):
    """An incident of its own, when the degradation had been there for long."""
    incident = replace(opened(status), before=known)
    assert is_beside(incident, present, before) is beside


def test_the_return_is_told_as_what_it_is():
    """Nobody is told that it is healthy."""
    events = step(go_down(None, BEFORE), "api", UP, REFUSED, "", POLICY, T0)[1]
    assert events[0].text == "api is as before the failure (degraded then: api-load) after 0.0 s"


def test_when_a_clock_may_be_followed():
    """While an incident only stands; a failure, and the proof of health, have timers."""
    assert is_calm(opened(DEGRADED))
    assert not is_calm(opened(DOWN))
    assert not is_calm(turn(opened(DEGRADED), UP, 5)[0])
    assert is_calm(replace(opened(DOWN), settled=T0))


def test_an_incident_moves_with_the_clock():
    """It is as old as before, whatever its instants are called now."""
    hour = timedelta(hours=1)
    recovering = turn(opened(), UP, 5)[0]
    moved = follow_clock(recovering, hour)
    assert (moved.opened, moved.recovered) == (T0 + hour, recovering.recovered + hour)
    assert moved.watched_until == recovering.watched_until + hour
    assert follow_clock(moved, -hour) == recovering
