"""Facts out of a store made by hand: every number is known beforehand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.fault import Status
from sentinel.core.incident import Event
from sentinel.core.model import Incident, IncidentState
from sentinel.errors import UsageError
from sentinel.probes.bus_pending import KIND
from sentinel.reports.collect import collect
from sentinel.reports.facts import Figure, Period, RecoveryFacts
from sentinel.reports.measure import Counter, gain_of, read_interval
from sentinel.reports.progress import BASELINE, make_baseline, progress_facts
from sentinel.reports.recovery import MAX_MOMENTS, recovery_facts
from sentinel.reports.render import render
from sentinel.store import Changes, CheckView, ComponentView, Sample
from sentinel.store.document import write_instant
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import check, component

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def impact_of(facts: RecoveryFacts, name: str) -> Figure:
    return next(figure for figure in facts.impact if figure.name == name)


def test_times_of_an_incident(incident_store: SqliteStore) -> None:
    """Detection, response and recovery are the differences of recorded instants."""
    episode = recovery_facts(incident_store, at(1200)).incident
    assert episode is not None
    assert (episode.detection.low, episode.response.low, episode.recovery.low) == (2.5, 5.0, 90.0)
    assert episode.root_cause == "agent-1"


def test_loss_is_the_gain_of_the_counters(incident_store: SqliteStore) -> None:
    """Lost messages are counted between the roll-ups around the incident, as [low, high], not as
    totals.
    """
    lost = impact_of(
        recovery_facts(incident_store, at(1200)), "messages lost before they were read"
    )
    assert (lost.low, lost.high) == (7, 11)
    assert lost.basis == "counted from 2026-03-01 11:59:00 UTC to 2026-03-01 12:12:00 UTC"


def test_totals_say_that_they_are_totals(incident_store: SqliteStore) -> None:
    """Without roll-ups the total is given and called one; what nobody counts is not measured."""
    facts = recovery_facts(incident_store, at(1200))
    duplicated = impact_of(facts, "canaries duplicated")
    assert (duplicated.low, duplicated.basis) == (
        2,
        "total since the watch began, not of this incident alone",
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
    episode = recovery_facts(incident_store, at(1200)).incident
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
    assert said in render("recovery", collect(incident_store, "recovery", at(1200)), ("md",))["md"]


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
    pending = check("bus-pending", "bus_pending", "bus", evidence={"redelivered": {"total": 8}})
    incident_store.commit(Changes(checks=[pending], samples=counted))
    figure = impact_of(recovery_facts(incident_store, at(1200)), "messages redelivered, at least")
    assert (figure.low, figure.high, figure.check) == (5, 5, "bus-pending")


def test_uptime_of_an_incident(incident_store: SqliteStore) -> None:
    """90 s down, 10 s of them unobserved: 80 s down, and the gap apart."""
    facts = recovery_facts(incident_store, at(1200))
    agent = next(item for item in facts.uptime if item.component == "agent-1")
    assert (agent.down, agent.unobserved) == (80, 10)
    assert agent.up == 7200 + 690 - 90
    assert [gap.text for gap in facts.gaps] == [
        "sentinel saw nothing for 10.0 s: event loop stalled"
    ]


def test_closed_incident_plans_no_update(incident_store: SqliteStore) -> None:
    """A closed incident needs no next update; an open one has it in half an hour."""
    assert recovery_facts(incident_store, at(1200)).next_update is None
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
    facts = recovery_facts(incident_store, at(1200))
    assert facts.incident is not None
    assert facts.incident.id == "I2"
    assert facts.next_update == at(1200 + 1800)
    assert facts.incident.recovery.low is None
    assert facts.incident.recovery.basis == "not recovered, 3 min 20 s so far"
    issues = " ".join(facts.open_issues)
    assert "sentinel reset bus" in issues
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
    assert sorted(progress_facts(incident_store, at(1200), target_per_hour=None).blockers) == [
        "flows is down: 3 stuck",
        "load: stopped on request: `sentinel start load`",
        "messaging is degraded: 0 waiting",
        "sentinel is blind to load-port: no answer",
    ]
    issues = recovery_facts(incident_store, at(1200), "I4").open_issues
    healed = (
        "bus is healthy again and being observed (recovering, this incident); it was down: refused"
    )
    assert healed in issues
    assert "messaging is degraded (open, incident I5): 0 waiting" in issues


def test_named_incident(incident_store: SqliteStore) -> None:
    """An incident is found by its id; an unknown id is a usage error with a hint."""
    named = recovery_facts(incident_store, at(1200), "I1").incident
    assert named is not None
    assert named.id == "I1"
    with pytest.raises(UsageError, match="no incident is called nope"):
        recovery_facts(incident_store, at(1200), "nope")
    with pytest.raises(UsageError, match="no kind of report"):
        collect(incident_store, "poem", at(0))


def test_first_sign_must_be_an_instant(incident_store: SqliteStore) -> None:
    """Evidence that is no instant, or lies after the opening, is no first sign: not measured."""
    incident = Incident("I9", "bus", at(2000), IncidentState.OPEN, Status.DOWN, "x")
    events = [
        ("I9", at(2000), Event("opened", "x"), {"failing_since": text})
        for text in ("yesterday", "2026-03-01T00:00:00", write_instant(at(2500)))
    ]
    incident_store.commit(Changes(incidents=[incident], events=events))
    episode = recovery_facts(incident_store, at(2600)).incident
    assert episode is not None
    assert episode.detection.low is None


def test_nothing_to_report(store: SqliteStore) -> None:
    """With an empty store both reports are made and say so."""
    recovery = recovery_facts(store, T0)
    assert recovery.incident is None
    assert recovery.headline.startswith("Nothing to report")
    progress = progress_facts(store, T0, target_per_hour=None)
    assert progress.headline.startswith("Nothing to report")
    assert progress.throughput.per_hour is None


def test_progress_from_the_last_report(incident_store: SqliteStore) -> None:
    """Tasks from → to come from the last report's totals, and so does the throughput: 200 tasks in
    1800 s.
    """
    totals = {"completed": {"agent-1": 20, "agent-2": 100}, "assigned": {}}
    incident_store.add_report(
        "progress", at(-600), [], {"generated": write_instant(at(-600)), "totals": totals}
    )
    facts = progress_facts(incident_store, at(1200), target_per_hour=1000)
    assert [(a.name, a.tasks_from, a.tasks_to, a.done) for a in facts.agents] == [
        ("agent-1", 20, 120, 100),
        ("agent-2", 100, 200, 100),
    ]
    assert facts.throughput.per_hour == 400
    assert facts.throughput.ratio == pytest.approx(0.4)
    assert facts.since == at(-600)
    shares = {
        figure.name: (figure.low, figure.high) for figure in (*facts.assignment, *facts.delivery)
    }
    assert shares["assigned within 100 ms"] == (0.99, 0.99)
    assert shares["assignment p99"] == (0.095, 0.095)
    assert shares["delivery ratio"] == (0.98, 0.984)


@pytest.mark.parametrize("kind", ["recovery", "progress"])
@pytest.mark.parametrize(
    ("beat", "stopped", "told"), [(-5, "", False), (-15, "", True), (-5, write_instant(T0), True)]
)
def test_a_report_beside_a_dead_daemon_says_so(
    incident_store: SqliteStore, kind: str, beat: float, stopped: str, *, told: bool
) -> None:
    """What was up when sentinel ended need not be up now; while it runs nothing is added."""
    incident_store.commit(Changes(meta={"beat": at(beat).isoformat(), "stopped": stopped}))
    headline = collect(incident_store, kind, T0)["headline"]
    assert headline.startswith(f"Not observed since {at(beat):%Y-%m-%d %H:%M:%S} UTC") is told


def test_first_progress_report_counts_from_the_baseline(incident_store: SqliteStore) -> None:
    """What agents had completed when the watch began is where the first report begins."""
    incident_store.commit(Changes(meta={BASELINE: make_baseline(incident_store, at(0))}))
    agents = {"agent-1": {"tasks_completed": 150}, "agent-3": {"tasks_completed": 9}}
    incident_store.commit(
        Changes(checks=[check("registry", "registry", "bus", evidence={"agents": agents})])
    )
    facts = progress_facts(incident_store, at(3600), target_per_hour=None)
    assert facts.since == at(0)
    seen = [(agent.name, agent.tasks_from, agent.tasks_to, agent.done) for agent in facts.agents]
    assert seen == [("agent-1", 120, 150, 30), ("agent-3", None, 9, None)]
    assert facts.throughput.basis.startswith("30 tasks completed in 3600 s; 1 of 2 counts")


def test_no_baseline_before_a_check_told_one(store: SqliteStore) -> None:
    """Nothing is compared with figures that were not there."""
    assert make_baseline(store, T0) == ""


def test_first_progress_report_counts_since_the_watch_began(incident_store: SqliteStore) -> None:
    """600 tasks were seen in the two hours since the watch began; the second report takes up its
    totals.
    """
    first = collect(incident_store, "progress", at(0))
    assert first["throughput"]["per_hour"] == 300
    assert "created" in first["throughput"]["basis"]
    assert [agent["done"] for agent in first["agents"]] == [None, None]
    incident_store.add_report("progress", at(0), [], json.loads(json.dumps(first)))
    second = progress_facts(incident_store, at(3600), target_per_hour=None)
    assert second.throughput.per_hour == 0


def test_agent_counter_that_went_back(incident_store: SqliteStore) -> None:
    """An agent whose counter went back has no difference, and the rate says that it is left out."""
    totals = {"completed": {"agent-1": 500, "agent-2": 100}}
    incident_store.add_report(
        "progress", at(0), [], {"generated": write_instant(at(0)), "totals": totals}
    )
    facts = progress_facts(incident_store, at(3600), target_per_hour=None)
    assert [agent.done for agent in facts.agents] == [None, 100]
    assert facts.throughput.per_hour == 100
    assert "1 of 2 counts" in facts.throughput.basis


def test_long_timeline_is_bounded(incident_store: SqliteStore) -> None:
    """Ten thousand events become a bounded timeline with the beginning and the end, and the count
    of the rest.
    """
    events = [("I1", at(100 + n), Event("note", f"line {n}"), {}) for n in range(10_000)]
    incident_store.commit(Changes(events=events))
    facts = recovery_facts(incident_store, at(20_000))
    assert len(facts.timeline) == MAX_MOMENTS
    assert facts.cut == 10_004 - MAX_MOMENTS
    assert facts.timeline[0].event == "opened"
    assert facts.timeline[-1].text == "line 9999"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, (3, 3)), ([1, 2], (1, 2)), ([1], None), (None, None), ("7", None), (True, None), (float("nan"), None),
        ([1, "x"], None), ({"low": 1}, None),
    ],
)  # fmt: skip
def test_intervals_of_evidence(value: object, expected: tuple[float, float] | None) -> None:
    """Evidence is believed only where it is a number or a pair of numbers."""
    assert read_interval(value) == expected


def test_counter_gains() -> None:
    """A gain needs a roll-up before and one after; a new series began at 0; one that went back
    voids the gain.
    """

    def sample(when: float, value: float, stream: str = "a") -> Sample:
        return Sample(at(when), "c", "lost_total", {"stream": stream}, value)

    period, lost = Period(at(0), at(100)), Counter("lost")
    assert gain_of(lost, [sample(60, 5)], period) is None
    assert gain_of(lost, [sample(-60, 5)], period) is None
    assert gain_of(lost, [sample(-60, 5), sample(60, 9)], period) == (4, at(-60), at(60))
    grown = [
        sample(-60, 5),
        sample(120, 9),
        sample(120, 3, "b"),
        sample(180, 99),
        sample(180, 99, "b"),
    ]
    assert gain_of(lost, grown, period) == (7, at(-60), at(120))
    assert gain_of(lost, [sample(-60, 5), sample(60, 1)], period) is None
    assert gain_of(lost, [sample(-60, 5), sample(-60, 5, "b"), sample(60, 6)], period) is None


def test_views_with_odd_evidence(store: SqliteStore) -> None:
    """Evidence of the wrong shape breaks no report."""
    odd = {
        "account": {"settled": {"pending": 1}, "lost": [2, None]},
        "canary": {"lost": "many"},
        "agents": {"a": 3},
        "assignment": [],
        "milestones": "none",
    }
    view = CheckView(
        "x",
        "y",
        "z",
        "nonsense",
        "up",
        None,
        "",
        None,
        "",
        odd,
        [],
        0,
        1.0,
        None,
        0.0,
        "",
        "",
        "",
        "",
        False,
    )
    component = ComponentView("z", "nonsense", None, "", [], "", None, 0, "")
    incident = Incident("I", "z", T0, IncidentState.OPEN, Status.DOWN, "")
    store.commit(Changes(checks=[view], components=[component], incidents=[incident]))
    assert all(figure.low is None for figure in recovery_facts(store, at(60)).impact)
    assert progress_facts(store, at(60), target_per_hour=None).agents == []
