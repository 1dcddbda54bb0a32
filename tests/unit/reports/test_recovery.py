"""The recovery report out of a store made by hand: every number is known beforehand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.component.incident import Event
from sentinel.core.fault import Acceptance, Fault, StandingFault, Status
from sentinel.core.model import (
    Attempt,
    Finding,
    Fold,
    Impact,
    Incident,
    IncidentState,
    Measurement,
    Section,
    Term,
    Transition,
)
from sentinel.core.quantity import Bounds
from sentinel.errors import UsageError
from sentinel.probes import Context, Kind, Options, load_kinds
from sentinel.probes.bus_pending import KIND
from sentinel.reports import ReportRequest
from sentinel.reports.figures import Figure, RecoveryFacts
from sentinel.reports.figures.measure import SINCE_WATCH_BEGAN
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.render import render
from sentinel.reports.progress import progress_facts
from sentinel.reports.recovery import MAX_MOMENTS, recovery_facts
from sentinel.store import Changes, Sample
from sentinel.store.document import write_instant
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import check, component, row

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
BAD = (Status.UP, Status.DEGRADED, Status.DOWN)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def told(store: SqliteStore, now: datetime, incident: str | None = None) -> RecoveryFacts:
    return recovery_facts(store, now, ReportRequest(load_kinds(), incident))


def impact_of(facts: RecoveryFacts, name: str) -> Figure:
    return next(figure for figure in facts.impact if figure.name == name)


def test_times_of_an_incident(incident_store: SqliteStore) -> None:
    """Detection, response and recovery are the differences of recorded instants."""
    episode = told(incident_store, at(1200)).incident
    assert episode is not None
    assert (episode.detection.low, episode.response.low, episode.recovery.low) == (2.5, 5.0, 90.0)
    assert episode.root_cause == "agent-1"


def test_loss_is_the_gain_of_the_counters(incident_store: SqliteStore) -> None:
    """Lost messages are counted between the roll-ups around the incident, as [low, high], not as
    totals.
    """
    lost = impact_of(told(incident_store, at(1200)), "messages lost before they were read")
    assert (lost.low, lost.high) == (7, 11)
    assert lost.basis == "counted from 2026-03-01 11:59:00 UTC to 2026-03-01 12:12:00 UTC"


def test_totals_say_that_they_are_totals(incident_store: SqliteStore) -> None:
    """Without roll-ups the total is given and called one; what nobody counts is not measured."""
    facts = told(incident_store, at(1200))
    duplicated = impact_of(facts, "canaries duplicated")
    assert (duplicated.low, duplicated.basis) == (
        2,
        SINCE_WATCH_BEGAN,
    )
    late = impact_of(facts, "canaries late")
    assert (late.low, late.high) == (1, 1)
    overdue = impact_of(facts, "messages overdue at their deadline")
    assert (overdue.low, overdue.high) == (4, 4)
    redelivered = impact_of(facts, "messages redelivered, at least")
    assert redelivered.low is None
    assert redelivered.basis.startswith("not measured")


def test_root_cause_of_what_has_recovered(incident_store: SqliteStore) -> None:
    """The bus took the api down: that is still so after both are back."""
    incident = Incident(
        "I7", "api", at(1000), IncidentState.RECOVERING, Status.DOWN, "unhealthy", root_cause="bus"
    )
    incident_store.commit(Changes(incidents=[incident]))
    episode = told(incident_store, at(1200)).incident
    assert episode is not None
    assert episode.root_cause == "bus"


@pytest.mark.parametrize(
    ("worst", "said"), [(Status.DOWN, "at worst down"), (None, "at worst degraded")]
)
def test_an_incident_at_its_worst(
    incident_store: SqliteStore, worst: Status | None, said: str
) -> None:
    """What got better before it got well was down all the same."""
    incident = Incident(
        "I3", "bus", at(1000), IncidentState.RECOVERING, Status.DEGRADED, "slow", worst=worst
    )
    incident_store.commit(Changes(incidents=[incident]))
    assert (
        said
        in render("recovery", collect(incident_store, "recovery", at(1200)), ("md",)).texts["md"]
    )


def test_redeliveries_are_those_that_bus_pending_counts(incident_store: SqliteStore) -> None:
    """The report and the check kind mean the same counter and the same total."""
    names = {measurement.name for measurement in KIND.measurements}
    assert "redeliveries_total" in names
    counted = [
        Sample(
            at(minute * 60),
            "bus-pending",
            "redeliveries_total",
            {"stream": "a", "group": "g"},
            value,
        )
        for minute, value in ((-1, 3.0), (12, 8.0))
    ]
    pending = check("bus-pending", "bus_pending", "bus", rows=[row({}, pending_width_seconds=1.0)])
    incident_store.commit(Changes(checks=[pending], samples=counted))
    figure = impact_of(told(incident_store, at(1200)), "messages redelivered, at least")
    assert (figure.low, figure.high, figure.check) == (5, 5, "bus-pending")


def test_uptime_of_an_incident(incident_store: SqliteStore) -> None:
    """90 s down, 10 s of them unobserved: 80 s down, and the gap apart."""
    facts = told(incident_store, at(1200))
    agent = next(item for item in facts.uptime if item.component == "agent-1")
    assert (agent.down, agent.unobserved) == (80, 10)
    assert agent.up == 7200 + 690 - 90
    assert [gap.text for gap in facts.gaps] == [
        "sentinel saw nothing for 10.0 s: event loop stalled"
    ]


def test_closed_incident_plans_no_update(incident_store: SqliteStore) -> None:
    """A closed incident needs no next update; an open one has it in half an hour."""
    assert told(incident_store, at(1200)).next_update is None
    opened = Incident(
        "I2",
        "bus",
        at(1000),
        IncidentState.OPEN,
        Status.DOWN,
        "gone",
        exhausted=True,
        blocked_by="host",
    )
    incident_store.commit(Changes(incidents=[opened]))
    facts = told(incident_store, at(1200))
    assert facts.incident is not None
    assert facts.incident.id == "I2"
    assert facts.next_update == at(1200 + 1800)
    assert facts.incident.recovery.low is None
    assert facts.incident.recovery.basis == "not recovered, 3 min 20 s so far"
    issues = " ".join(facts.open_issues)
    assert "sentinel reset bus --reason repaired" in issues
    assert "blocked by host" in issues


def test_what_is_bad_is_said_as_it_is_now(incident_store: SqliteStore) -> None:
    """Healthy again is no blocker; what lasts is told with the figures of now; stopped on request
    is not "blind".
    """
    began = "39 waiting, oldest 8 s"
    incident_store.commit(
        Changes(
            incidents=[
                Incident(
                    "I4",
                    "bus",
                    at(1000),
                    IncidentState.RECOVERING,
                    Status.DEGRADED,
                    "refused",
                    worst=Status.DOWN,
                ),
                Incident("I5", "messaging", at(1000), IncidentState.OPEN, Status.DEGRADED, began),
                Incident("I6", "flows", at(1000), IncidentState.OPEN, Status.DOWN, "3 stuck"),
            ],
            components=[
                component("messaging", "degraded", detail="0 waiting"),
                component("flows", "unknown", detail="no answer"),
                component("load", "unknown", action="stopped on request: `sentinel start load`"),
            ],
            checks=[
                check("load.process", "supervision", "load", status="unknown", detail="not judged"),
                check("load-port", "tcp", "load", status="unknown", detail="no answer"),
            ],
        )
    )
    assert sorted(
        progress_facts(incident_store, at(1200), ReportRequest(load_kinds())).blockers
    ) == [
        "flows is down: 3 stuck",
        "load: stopped on request: `sentinel start load`",
        "messaging is degraded: 0 waiting",
        "sentinel is blind to load-port: no answer",
    ]
    issues = told(incident_store, at(1200), "I4").open_issues
    healed = (
        "bus is healthy again and being observed (recovering, this incident); it was down: refused"
    )
    assert healed in issues
    assert "messaging is degraded (open, incident I5): 0 waiting" in issues


def test_named_incident(incident_store: SqliteStore) -> None:
    """An incident is found by its id; an unknown id is a usage error with a hint."""
    named = told(incident_store, at(1200), "I1").incident
    assert named is not None
    assert named.id == "I1"
    with pytest.raises(UsageError, match="no incident is called nope"):
        told(incident_store, at(1200), "nope")


def test_first_sign_must_be_an_instant(incident_store: SqliteStore) -> None:
    """Evidence that is no instant, or lies after the opening, is no first sign: not measured."""
    incident = Incident("I9", "bus", at(2000), IncidentState.OPEN, Status.DOWN, "x")
    events = [
        ("I9", at(2000), Event("opened", "x"), {"failing_since": text})
        for text in ("yesterday", "2026-03-01T00:00:00", write_instant(at(2500)))
    ]
    incident_store.commit(Changes(incidents=[incident], events=events))
    episode = told(incident_store, at(2600)).incident
    assert episode is not None
    assert episode.detection.low is None


def test_long_timeline_is_bounded(incident_store: SqliteStore) -> None:
    """Ten thousand events become a bounded timeline with the beginning and the end, and the count
    of the rest.
    """
    events = [("I1", at(100 + n), Event("note", f"line {n}"), {}) for n in range(10_000)]
    incident_store.commit(Changes(events=events))
    facts = told(incident_store, at(20_000))
    assert len(facts.timeline) == MAX_MOMENTS
    assert facts.cut == 10_004 - MAX_MOMENTS
    assert facts.timeline[0].event == "opened"
    assert facts.timeline[-1].text == "line 9999"


# -- which incident, and what was done -------------------------------------------------------------


@pytest.fixture
def failure(incident_store: SqliteStore) -> SqliteStore:
    """The bus fell and took api and chat along: restarts 1 to 3 are of the bus."""
    down, recovering = Status.DOWN, IncidentState.RECOVERING
    incidents = [
        Incident("B", "bus", at(1000), recovering, down, "no answer", recovered=at(1100)),
        Incident("A", "api", at(1005), recovering, down, "HTTP 503", root_cause="bus"),
        Incident("C", "chat", at(1010), IncidentState.OPEN, down, "no reply", blocked_by="api"),
    ]
    incident_store.commit(Changes(incidents=incidents))
    for n in (1, 2, 3):
        attempt = Attempt("B", n, "bus", "restart", "down", at(1000 + 20 * n), "started")
        incident_store.claim_attempt(attempt)
    return incident_store


def test_the_cause_of_the_newest_symptom_is_told(failure: SqliteStore) -> None:
    """Without a name: not the last one that fell, but the one that pushed; with all its restarts."""
    facts = told(failure, at(1200))
    assert facts.incident is not None
    assert facts.incident.id == "B"
    assert facts.incident.cause is None
    assert [each.component for each in facts.incident.symptoms] == ["api", "chat"]
    assert [act.n for act in facts.actions] == [1, 2, 3]


def test_a_named_symptom_names_its_cause_and_what_was_done_about_it(failure: SqliteStore) -> None:
    """Nothing was done to chat; that is not "no action"."""
    facts = told(failure, at(1200), "C")
    assert facts.incident is not None
    assert facts.incident.cause is not None
    assert facts.incident.cause.id == "B"
    assert [(act.component, act.n) for act in facts.actions] == [("bus", 1), ("bus", 2), ("bus", 3)]
    assert facts.incident.response.low == 20
    assert "its cause is bus" in facts.headline
    assert "No action" not in render("recovery", collect(failure, "recovery", at(1200))).texts["md"]


def test_a_cause_of_another_day_is_none(incident_store: SqliteStore) -> None:
    """An incident that was closed before the symptom began did not bring it about."""
    old = Incident(
        "B0", "bus", at(-900), IncidentState.CLOSED, Status.DOWN, "gone", closed=at(-300)
    )
    symptom = Incident(
        "A1", "api", at(1000), IncidentState.OPEN, Status.DOWN, "503", root_cause="bus"
    )
    incident_store.commit(Changes(incidents=[old, symptom]))
    facts = told(incident_store, at(1200))
    assert facts.incident is not None
    assert (facts.incident.id, facts.incident.cause) == ("A1", None)


# -- for how long ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "recovered", "headline"),
    [
        (((1000, 0, 2),), None, "chat is down, ill for 3 min 20 s, all of it down."),
        (
            ((1000, 0, 2), (1099, 2, 1)),
            None,
            "chat is down, ill for 3 min 20 s (down 1 min 39 s, degraded 1 min 41 s).",
        ),
        (
            ((1000, 0, 1), (1010, 1, 2), (1040, 2, 0)),
            1040,
            "chat recovered after 40.0 s (down 30.0 s, degraded 10.0 s);"
            " its health is being observed.",
        ),
        ((), None, "chat is down, ill for 3 min 20 s."),
    ],
)
def test_down_time_is_told_apart_from_degraded_time(
    incident_store: SqliteStore,
    changes: tuple[tuple[int, int, int], ...],
    recovered: int | None,
    headline: str,
) -> None:
    """A component that was down for 1 min 39 s and then degraded is not "down for 8 min"."""
    state = IncidentState.OPEN if recovered is None else IncidentState.RECOVERING
    healed = None if recovered is None else at(recovered)
    incident = Incident("X", "chat", at(1000), state, Status.DOWN, "x", recovered=healed)
    steps = [
        Transition("chat", "component", BAD[before], BAD[after], at(when), "")
        for when, before, after in changes
    ]
    now = BAD[changes[-1][2]].value if changes else "unknown"
    views = [component("chat", now, since=at(changes[-1][0]) if changes else None)]
    incident_store.commit(Changes(incidents=[incident], transitions=steps, components=views))
    assert told(incident_store, at(1200)).headline == headline


# -- whom ------------------------------------------------------------------------------------------


def _fault(
    subject: dict[str, str], began: float, ended: float | None = None, **changes: object
) -> StandingFault:
    text = f"{', '.join(subject.values())}: 7 late"
    fault = Fault("overdue", subject, Status.DEGRADED, text, count=Bounds(7, 9), cure=("XINFO X",))
    end = None if ended is None else at(ended)
    made = StandingFault("bus-delivery", "bus", fault, at(began), Status.DOWN, end)
    return StandingFault(**{**{n: getattr(made, n) for n in made.__slots__}, **changes})  # type: ignore[arg-type]


def test_every_fault_of_the_period_with_its_subject(incident_store: SqliteStore) -> None:
    """Subject, times, worst status, count and cure of each; accepted ones apart; others not."""
    accepted = Acceptance("overdue", {}, "a known slow group", at(9000))
    incident = Incident(
        "F", "bus", at(1000), IncidentState.OPEN, Status.DOWN, "late", "bus-delivery"
    )
    faults = [
        _fault({"stream": "orders"}, 1000),
        _fault({"stream": "mails"}, 1010, 1100),
        _fault({"stream": "mails"}, 1150, 1160),
        _fault({"stream": "slow"}, 1000, accepted=accepted),
        _fault({"stream": "before"}, 500, 900),
    ]
    incident_store.commit(Changes(incidents=[incident], faults=faults))
    facts = told(incident_store, at(1200))
    assert [(each.subject, each.seconds, each.times, each.ended) for each in facts.faults] == [
        ("stream orders", 200, 1, None),
        ("stream mails", 100, 2, at(1160)),
    ]
    first = facts.faults[0]
    assert (first.worst, first.low, first.high, first.cure) == ("down", 7, 9, ["XINFO X"])
    assert [(each.fault.subject, each.reason) for each in facts.accepted] == [
        ("stream slow", "a known slow group")
    ]
    assert "bus is degraded (open, this incident): orders: 7 late" in facts.open_issues
    assert not any("slow" in issue or "mails" in issue for issue in facts.open_issues)


def test_faults_are_shown_in_every_format(incident_store: SqliteStore) -> None:
    """Whoever reads only one of them knows whom it concerns."""
    incident = Incident("F", "bus", at(1000), IncidentState.OPEN, Status.DOWN, "late")
    faults = [_fault({"stream": "orders"}, 1000)]
    incident_store.commit(Changes(incidents=[incident], faults=faults))
    texts = render("recovery", collect(incident_store, "recovery", at(1200))).texts
    for text in texts.values():
        assert "stream orders" in text
        assert "XINFO X" in text
    assert "7 – 9" in texts["html"]


# -- figures ---------------------------------------------------------------------------------------


def test_a_new_kind_brings_its_figures_along(incident_store: SqliteStore) -> None:
    """A figure appears because its kind declares it; nothing else is edited."""

    async def run(_options: Options, _context: Context) -> Finding:
        return Finding(Status.UP, "")

    spilled = Impact("litres spilled", Section.INCIDENT, (Term("spilled"),))
    stored = Impact("litres stored", Section.WORK, (Term("stored"),), fold=Fold.SUM)
    measurements = (
        Measurement("spilled", "Litres spilled", type="counter"),
        Measurement("stored", "Litres stored"),
    )
    kind = Kind("tank", "a tank", Options, run, measurements, impact=(spilled, stored))
    samples = [Sample(at(when), "tank-1", "spilled", {}, n) for when, n in ((-60, 2), (900, 9))]
    view = check("tank-1", "tank", "bus", rows=[row({"tank": "a"}, stored=4.0)])
    incident_store.commit(Changes(checks=[view], samples=samples))
    request = ReportRequest({"tank": kind})
    (figure,) = recovery_facts(incident_store, at(1200), request).impact
    assert (figure.name, figure.low, figure.check) == ("litres spilled", 7, "tank-1")
    (work,) = progress_facts(incident_store, at(1200), request).work
    assert (work.name, work.low, work.basis) == ("litres stored", 4, "at the last look")
