"""Shift and daily summary: since the last one, and also when nothing happened."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from sentinel.core.fault import Fault, StandingFault, Status
from sentinel.core.notice.maintenance import Maintenance
from sentinel.probes import load_kinds
from sentinel.reports import ReportRequest
from sentinel.reports.daily import daily_facts
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.render import render
from sentinel.reports.shift import shift_facts
from sentinel.store import Changes
from sentinel.store.document import write
from sentinel.store.notices import MAINTENANCE_KEY, PlannedMaintenance
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import at

REQUEST = ReportRequest(kinds=load_kinds())


def test_a_shift_begins_where_the_last_one_ended(incident_store: SqliteStore) -> None:
    """Without one it has eight hours, and a day is a day."""
    assert shift_facts(incident_store, at(1200), REQUEST).period.began == at(1200 - 8 * 3600)
    assert daily_facts(incident_store, at(1200), REQUEST).period.began == at(1200 - 24 * 3600)
    incident_store.add_report("shift", at(600), [], {})
    facts = shift_facts(incident_store, at(1200), REQUEST)
    assert facts.period.began == at(600)
    assert [each.id for each in facts.episodes] == ["I1"]  # closed at 12:11:30


def test_a_report_that_was_long_not_made_has_an_end(incident_store: SqliteStore) -> None:
    """After a month without one it tells of a week."""
    incident_store.add_report("shift", at(0) - timedelta(days=30), [], {})
    facts = shift_facts(incident_store, at(1200), REQUEST)
    assert facts.period.began == at(1200) - timedelta(days=7)


@pytest.mark.parametrize("kind", ["shift", "daily"])
def test_nothing_happened_is_said(store: SqliteStore, kind: str) -> None:
    """In every format, with all that stands."""
    document = collect(store, kind, at(0), REQUEST)
    assert document["quiet"]
    assert document["headline"].startswith("Nothing happened in ")
    rendered = render(kind, document)
    assert not rendered.problems
    title = {"shift": "Shift report", "daily": "Daily summary"}[kind]
    assert rendered.texts["md"].startswith(f"# {title}: platform\n")
    assert f"<title>{title}: platform</title>" in rendered.texts["html"]
    for text in (rendered.texts["md"], rendered.texts["html"]):
        assert "can't be mistaken for health" in text.replace("&#39;", "'")


def test_what_is_handed_over(incident_store: SqliteStore) -> None:
    """Faults that stand, with who answers for them; what was resolved apart."""
    fault = Fault("lost", {"stream": "a"}, Status.DOWN, "7 lost")
    idle = Fault("late", {"stream": "b"}, Status.DEGRADED, "late")
    faults = [
        StandingFault("bus-delivery", "bus", fault, at(100), Status.DOWN),
        StandingFault("bus-delivery", "bus", idle, at(1), Status.DEGRADED, ended=at(90)),
    ]
    incident_store.commit(Changes(faults=faults))
    facts = shift_facts(incident_store, at(1200), REQUEST)
    assert facts.headline == "1 incident and 2 new faults in 8 h; 1 fault stands."
    text = render("shift", collect(incident_store, "shift", at(1200), REQUEST)).texts["md"]
    handed, resolved = text.split("## Handed over")[1].split("## Resolved faults")
    assert "7 lost" in handed
    assert "7 lost" not in resolved
    assert "| late |" in resolved


@pytest.mark.parametrize("kind", ["shift", "daily", "recovery"])
def test_maintenance_is_told_beside_uptime(incident_store: SqliteStore, kind: str) -> None:
    """A minute of the 90 s down, and nothing of the component that nobody worked upon."""
    times = [
        Maintenance("move", ("agent-*",), "racks", at(30), at(660), ended=at(660)),
        Maintenance("later", ("*",), "plan", at(5000), at(6000)),
    ]
    meta = {MAINTENANCE_KEY: write(PlannedMaintenance(tuple(times)))}
    incident_store.commit(Changes(meta=meta))
    document = collect(incident_store, kind, at(1200), REQUEST)
    spent = {each["component"]: each for each in document["uptime"]}
    agent = spent["agent-1"]
    assert (agent["maintenance"], agent["down"]) == (630.0, 30.0)
    words = ("up", "degraded", "down", "unobserved", "maintenance")
    period = document["period"]
    seconds = (
        datetime.fromisoformat(period["ended"]) - datetime.fromisoformat(period["began"])
    ).total_seconds()
    assert sum(agent[word] for word in words) == pytest.approx(seconds)
    assert {each["maintenance"] for name, each in spent.items() if name != "agent-1"} == {0.0}
    assert "Left out as maintenance: up to 10 min 30 s of agent-1." in " ".join(document["summary"])
    texts = render(kind, document).texts
    rows = [each for each in texts["md"].splitlines() if each.startswith("| agent-1 | ")]
    assert any(each.count("| 10 min 30 s |") == 1 for each in rows)
    assert 'class="maintenance"' in texts["html"]
