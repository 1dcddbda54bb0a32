"""What a report of each kind must have: the sections by which teams and managers know it."""

from __future__ import annotations

import re

import pytest

from sentinel.probes import load_kinds
from sentinel.reports import ReportRequest
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.render import render
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import at
from tests.unit.reports.test_progress_plan import project
from tests.unit.reports.test_recovery_period import add_fault, database

RECOVERY = {
    "executive summary": "Summary",
    "component status and uptime": "Status and uptime",
    "impact": "Impact",
    "data loss": "Data loss",
    "issues that are pending": "Pending faults",
    "issues and their resolution": "Resolved faults",
    "timeline with evidence": "Timeline",
    "recovery actions": "Actions",
    "actions of people": "What people did",
    "agents, their tasks and progress": "Agents",
    "targets against actuals": "Targets",
    "risks": "Risks",
    "open issues": "Open issues",
    "escalation path and next update": "Escalation and next update",
}
PROGRESS = {
    "from and to, by track and agent": "Tracks",
    "agents": "Agents",
    "milestones with evidence": "Milestones",
    "dependencies, resolved and open": "Dependencies",
    "critical path and forecast": "Critical path and forecast",
    "blockers": "Blockers",
    "key metrics against target": "Targets",
    "automations and what they did": "Automations",
    "next sync and who is needed": "Next sync",
}
WORDS = {
    "detection, response, recovery time": ["Detection time", "Response time", "Recovery time"],
    "what was not affected": ["Not affected"],
    "uptime in five parts": [
        "Up for",
        "Degraded for",
        "Down for",
        "Maintenance for",
        "Unobserved for",
    ],
    "data loss of a log": ["before", "after"],
    "priority, owner, command": ["Priority", "Owner", "Command"],
}


def headings(text: str) -> set[str]:
    """The headings of a report in Markdown or HTML, without what stands behind them."""
    found = re.findall(r"^## (.+)$|<h2>([^<(]+)", text, re.MULTILINE)
    return {(md or html).split(" (")[0].strip() for md, html in found}


@pytest.mark.parametrize("form", ["md", "html"])
@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("recovery", RECOVERY), ("progress", PROGRESS)],
    ids=["recovery", "progress"],
)
def test_every_section_is_there(
    incident_store: SqliteStore, kind: str, wanted: dict[str, str], form: str
) -> None:
    """In Markdown and in HTML, made from facts alone."""
    request = ReportRequest(kinds=load_kinds(), plan=project(), target_per_hour=1000)
    text = render(kind, collect(incident_store, kind, at(1200), request), (form,)).texts[form]
    missing = {what: name for what, name in wanted.items() if name not in headings(text)}
    assert missing == {}


@pytest.mark.parametrize("what", WORDS)
def test_what_a_recovery_report_must_say(incident_store: SqliteStore, what: str) -> None:
    """Each in words that one can look for."""
    if "Priority" in WORDS[what] or "before" in WORDS[what]:
        database(incident_store, 0x1000, 0x2000)
        add_fault(incident_store)
    request = ReportRequest(kinds=load_kinds())
    text = render("recovery", collect(incident_store, "recovery", at(1200), request), ("md",))
    assert all(word in text.texts["md"] for word in WORDS[what])
