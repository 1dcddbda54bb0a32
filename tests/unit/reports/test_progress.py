"""The progress report: what moved between two reports, and what nobody measured."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from sentinel.core.fault import Fault, StandingFault, Status
from sentinel.core.model import Incident, IncidentState
from sentinel.probes import load_kinds
from sentinel.reports import ReportRequest
from sentinel.reports.figures.totals import BASELINE, make_baseline
from sentinel.reports.figures.work import ProgressFacts
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.render import render
from sentinel.reports.progress import progress_facts
from sentinel.store import Changes
from sentinel.store.document import write_instant
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import agent, check, component, row

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DONE = "registry/completed/tasks completed"


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def told(store: SqliteStore, now: datetime, target: float | None = None) -> ProgressFacts:
    return progress_facts(store, now, ReportRequest(load_kinds(), target_per_hour=target))


def keep(store: SqliteStore, now: datetime) -> None:
    """Make a report and remember it, as the calendar does."""
    document = collect(store, "progress", now)
    store.add_report("progress", now, [], json.loads(json.dumps(document)))


def test_progress_from_the_last_report(incident_store: SqliteStore) -> None:
    """Tasks from → to come from the last report's totals, and so does the throughput: 200 tasks in
    1800 s.
    """
    totals = {DONE: {"certain": 120, "each": {"agent-1": 20, "agent-2": 100}}}
    incident_store.add_report(
        "progress", at(-600), [], {"generated": write_instant(at(-600)), "totals": totals}
    )
    facts = told(incident_store, at(1200), target=1000)
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
    assert shares["assigned by their deadline"] == (0.99, 0.99)
    assert shares["assignment p99"] == (0.095, 0.095)
    assert shares["acknowledged in time"] == (980 / 988, 984 / 988)


def test_first_progress_report_counts_from_the_baseline(incident_store: SqliteStore) -> None:
    """What agents had completed when the watch began is where the first report begins."""
    incident_store.commit(
        Changes(meta={BASELINE: make_baseline(incident_store, load_kinds(), at(0))})
    )
    agents = [agent("agent-1", "active", 150), agent("agent-3", "active", 9)]
    incident_store.commit(Changes(checks=[check("registry", "registry", "bus", rows=agents)]))
    facts = told(incident_store, at(3600))
    assert facts.since == at(0)
    seen = [(agent.name, agent.tasks_from, agent.tasks_to, agent.done) for agent in facts.agents]
    assert seen == [("agent-1", 120, 150, 30), ("agent-3", None, 9, None)]
    assert facts.throughput.basis.startswith("30 tasks completed in 3600 s; 1 of 2 counts")


def test_first_progress_report_counts_since_the_watch_began(incident_store: SqliteStore) -> None:
    """600 tasks were seen in the two hours since the watch began; the second report takes up its
    totals.
    """
    first = collect(incident_store, "progress", at(0))
    assert first["throughput"]["per_hour"] == 300
    assert "created" in first["throughput"]["basis"]
    assert [agent["done"] for agent in first["agents"]] == [None, None]
    incident_store.add_report("progress", at(0), [], json.loads(json.dumps(first)))
    second = told(incident_store, at(3600))
    assert second.throughput.per_hour == 0


def test_agent_counter_that_went_back(incident_store: SqliteStore) -> None:
    """An agent whose counter went back has no difference, and the rate says that it is left out."""
    totals = {DONE: {"certain": 600, "each": {"agent-1": 500, "agent-2": 100}}}
    incident_store.add_report(
        "progress", at(0), [], {"generated": write_instant(at(0)), "totals": totals}
    )
    facts = told(incident_store, at(3600))
    assert [agent.done for agent in facts.agents] == [None, 100]
    assert facts.throughput.per_hour == 100
    assert "1 of 2 counts" in facts.throughput.basis


# -- what nobody measured --------------------------------------------------------------------------


def test_a_check_without_tasks_makes_no_zero(incident_store: SqliteStore) -> None:
    """Two registry checks, the second without `tasks`: done stays what the first one counted, now
    and in the next report.
    """
    blind = check("registry-2", "registry", "b", rows=[agent("agent-1", "active"), agent("x", "")])
    incident_store.commit(Changes(checks=[blind]))
    keep(incident_store, at(0))
    counting = check("registry", "registry", "orchestrator", rows=[agent("agent-1", "active", 130)])
    incident_store.commit(Changes(checks=[counting]))
    facts = told(incident_store, at(3600))
    assert [(a.name, a.check, a.done, a.tasks_to) for a in facts.agents] == [
        ("agent-1", "registry", 10, 130),
        ("x", "registry-2", None, None),
    ]
    assert facts.throughput.per_hour == 10


def test_a_check_that_begins_to_count_makes_no_leap(incident_store: SqliteStore) -> None:
    """What was not measured at the last report has no difference: never 74,387 tasks per hour."""
    silent = check("registry", "registry", "orchestrator", rows=[agent("agent-1", "active")])
    incident_store.commit(Changes(checks=[silent]))
    keep(incident_store, at(0))
    counts = [agent("agent-1", "active", 74387)]
    incident_store.commit(
        Changes(checks=[check("registry", "registry", "orchestrator", rows=counts)])
    )
    facts = told(incident_store, at(3600))
    assert [(a.done, a.tasks_to) for a in facts.agents] == [(None, 74387)]
    assert facts.throughput.per_hour == 0
    assert "created" in facts.throughput.basis


def test_nobody_counts_tasks(store: SqliteStore) -> None:
    """No rate is not a rate of zero."""
    listing = check("registry", "registry", "o", rows=[agent("agent-1", "active")])
    store.commit(Changes(checks=[listing]))
    keep(store, at(0))
    facts = told(store, at(3600), target=100)
    assert (facts.throughput.per_hour, facts.throughput.ratio) == (None, None)
    assert facts.throughput.basis == "not measured: no check counts tasks"
    assert "not measured" in render("progress", collect(store, "progress", at(3600))).texts["md"]


def test_two_checks_that_count_the_same_tasks_are_not_added_up(store: SqliteStore) -> None:
    """The rate is that of one check, and says which."""
    views = [
        check(name, "registry", "o", rows=[agent("agent-1", "active", 100)])
        for name in ("first", "second")
    ]
    store.commit(Changes(checks=views))
    keep(store, at(0))
    more = [
        check(name, "registry", "o", rows=[agent("agent-1", "active", 160)])
        for name in ("first", "second")
    ]
    store.commit(Changes(checks=more))
    rate = told(store, at(3600)).throughput
    assert (rate.per_hour, rate.check) == (60, "first")


def test_figures_move_from_report_to_report(incident_store: SqliteStore) -> None:
    """Counters give what they gained since the last report; a reset one gives nothing."""
    keep(incident_store, at(0))
    rows = [row({"stream": "a"}, published_total=1250.0)]
    incident_store.commit(Changes(checks=[check("bus-delivery", "bus_delivery", "bus", rows=rows)]))
    keep(incident_store, at(600))
    figures = {each.name: each for each in told(incident_store, at(600)).delivery}
    assert figures["messages published"].low == 0
    second = incident_store.reports("progress", limit=1)[0].facts
    published = next(each for each in second["delivery"] if each["name"] == "messages published")
    assert (published["low"], published["basis"]) == (250, "since the last report")
    assert figures["messages waiting"].low is None
    less = [row({"stream": "a"}, published_total=3.0)]
    incident_store.commit(Changes(checks=[check("bus-delivery", "bus_delivery", "bus", rows=less)]))
    figures = {each.name: each for each in told(incident_store, at(900)).delivery}
    assert (figures["messages published"].low, figures["messages published"].basis) == (
        None,
        "not measured: a total went back",
    )


def test_agents_are_called_by_their_names(store: SqliteStore) -> None:
    """What people call an agent stands beside its id."""
    rows = [agent("agent-7", "active", 3, 1, called="planner")]
    store.commit(Changes(checks=[check("registry", "registry", "o", rows=rows)]))
    texts = render("progress", collect(store, "progress", at(0)), ("md", "html")).texts
    assert "| agent-7 (planner) | active |" in texts["md"]
    assert 'planner <span class="evidence">agent-7</span>' in texts["html"]


def test_blockers_name_subjects(incident_store: SqliteStore) -> None:
    """Three tenants that fail are three lines, not one."""
    incident = Incident("T", "tenants", at(1000), IncidentState.OPEN, Status.DOWN, "leak")
    faults = [
        StandingFault(
            "tenants",
            "tenants",
            Fault("leak", {"table": name}, Status.DOWN, f"table {name}: 2 rows of another tenant"),
            at(1000),
            Status.DOWN,
        )
        for name in ("agents", "flows", "tasks")
    ]
    incident_store.commit(Changes(incidents=[incident], faults=faults))
    assert told(incident_store, at(1200)).blockers == [
        f"tenants is down: table {name}: 2 rows of another tenant"
        for name in ("agents", "flows", "tasks")
    ]


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ("not judged: stopped on request", "stopped on request: `sentinel start load`"),
        ("stopped on request, or waits: not judged", "stopped on request: `sentinel start load`"),
        ("no answer", "no answer (stopped on request: `sentinel start load`)"),
    ],
)
def test_why_nothing_is_done_is_said_once(
    incident_store: SqliteStore, detail: str, shown: str
) -> None:
    """The detail of a component that is stopped on request says so, and its action does."""
    action = "stopped on request: `sentinel start load`"
    view = component("load", "unknown", action=action, detail=detail)
    incident_store.commit(Changes(components=[view]))
    document = collect(incident_store, "progress", at(1200))
    texts = render("progress", document, ("md", "html")).texts
    row = next(line for line in texts["md"].splitlines() if line.startswith("| load |"))
    assert row.replace("\\", "").endswith(f"| {shown} |")
    assert ("no answer" in texts["html"]) is (detail == "no answer")
