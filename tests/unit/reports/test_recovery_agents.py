"""What agents did over a failure: counted between the readings around it."""

from __future__ import annotations

from sentinel.probes import load_kinds
from sentinel.reports import ReportRequest
from sentinel.reports.figures import Period, RecoveryFacts
from sentinel.reports.figures.totals import BASELINE, make_baseline
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.render import render
from sentinel.reports.recovery import recovery_facts
from sentinel.store import Changes
from sentinel.store.document import write_instant
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import at


def keep_counts(store: SqliteStore, when: float, first: float, second: float) -> None:
    """A progress report of that time, with what both agents had completed."""
    each = {"agent-1": first, "agent-2": second}
    totals = {"registry/completed/tasks completed": {"certain": first + second, "each": each}}
    facts = {"generated": write_instant(at(when)), "totals": totals}
    store.add_report("progress", at(when), [], facts)


def told(store: SqliteStore) -> RecoveryFacts:
    return recovery_facts(store, at(1200), ReportRequest(load_kinds()))


def done_by(facts: RecoveryFacts) -> dict[str, float | None]:
    return {agent.name: agent.done for agent in facts.agents}


def test_agents_are_counted_over_the_failure(incident_store: SqliteStore) -> None:
    """Between the readings around it: a progress report that was made just before this one does not
    make a zero of what they did.
    """
    for when, first, second in ((-900, 10, 20), (-60, 100, 150), (300, 110, 160)):
        keep_counts(incident_store, when, first, second)
    facts = told(incident_store)
    assert done_by(facts) == {"agent-1": 20, "agent-2": 50}
    assert facts.agents_period == Period(at(-60), at(1200))
    keep_counts(incident_store, 1199, 120, 200)  # as `sentinel report progress` does before this
    facts = told(incident_store)
    assert done_by(facts) == {"agent-1": 20, "agent-2": 50}
    assert facts.agents_period == Period(at(-60), at(1199))
    keep_counts(incident_store, 800, 119, 190)
    assert done_by(told(incident_store)) == {"agent-1": 19, "agent-2": 40}
    text = render("recovery", collect(incident_store, "recovery", at(1200)), ("md", "html")).texts
    for shown in text.values():
        assert "counted from 2026-03-01 11:59:00 UTC to 2026-03-01 12:13:20 UTC" in shown
    assert "\n\n| Agent | Status |" in text["md"]


def test_agents_whom_nobody_counted_over_the_failure(incident_store: SqliteStore) -> None:
    """The reading of a report from after it is no beginning; one from within it is a later one, and
    the reading that the watch began with counts as one of a report.
    """
    keep_counts(incident_store, 700, 110, 160)
    facts = told(incident_store)
    assert done_by(facts) == {"agent-1": None, "agent-2": None}
    assert facts.agents_period is None
    text = render("recovery", collect(incident_store, "recovery", at(1200)), ("md",)).texts["md"]
    assert "can't be counted over this time" in text
    keep_counts(incident_store, 100, 101, 102)
    assert told(incident_store).agents_period == Period(at(100), at(700))
    baseline = make_baseline(incident_store, load_kinds(), at(-7000))
    incident_store.commit(Changes(meta={BASELINE: baseline}))
    facts = told(incident_store)
    assert facts.agents_period == Period(at(-7000), at(700))
