"""What runbooks found in an incident is in its recovery report, bounded and inert."""

from __future__ import annotations

from sentinel.core.component.incident import Event
from sentinel.core.fault import Status
from sentinel.core.model import Incident, IncidentState
from sentinel.reports.paper.collect import collect
from sentinel.reports.paper.render import render
from sentinel.store import Changes
from sentinel.store.runbook import CONDITIONS_KEY
from sentinel.store.sqlite import SqliteStore
from tests.unit.reports.conftest import at, check

HOSTILE = "<script>alert(1)</script> | `x` | =1+1"


def _evidence(text: str) -> dict[str, object]:
    step = {"name": f"step {text}", "outcome": "done", "detail": text}
    return {"runbook": "bus-unreachable", "steps": [step], "transcript": f"whole {text}"}


def _incident(
    store: SqliteStore, count: int = 1, text: str = "port is closed", **changes: object
) -> dict[str, object]:
    incident = Incident(
        "I", "bus", at(0), IncidentState.OPEN, Status.DOWN, "gone", "port", **changes
    )  # type: ignore[arg-type]
    events = [
        ("I", at(n), Event("diagnosis", f"runbook bus-unreachable: {n}"), _evidence(text))
        for n in range(count)
    ]
    meta = {CONDITIONS_KEY: '{"exhausted": "component-exhausted"}', "platform": "p"}
    views = [check("port", "tcp", "bus", runbook="bus-unreachable")]
    store.commit(Changes(meta=meta, incidents=[incident], events=events, checks=views))
    facts: dict[str, object] = collect(store, "recovery", at(60))
    return facts


def test_diagnosis_section(store: SqliteStore) -> None:
    """Steps and outcomes in Markdown, the whole transcript in HTML and JSON, and the runbook to
    open.
    """
    shown = render("recovery", _incident(store)).texts
    assert "## Diagnosis" in shown["md"]
    assert "| step port is closed | done | port is closed |" in shown["md"]
    assert "| Runbook | bus-unreachable |" in shown["md"]
    assert "whole port is closed" in shown["html"]
    assert "whole port is closed" in shown["json"]
    assert "see Diagnosis" in shown["md"]


def test_no_diagnosis_no_section(store: SqliteStore) -> None:
    """A report of an incident that nobody looked into has no empty section."""
    assert "Diagnosis" not in render("recovery", _incident(store, count=0)).texts["md"]


def test_hostile_output_is_inert(store: SqliteStore) -> None:
    """What a server answered can't become markup, a table cell or a formula."""
    shown = render("recovery", _incident(store, text=HOSTILE)).texts
    assert "<script>" not in shown["html"]
    assert "<script>" not in shown["md"]
    line = next(line for line in shown["md"].splitlines() if line.startswith("| step"))
    assert line.count(" | ") == 2


def test_newest_diagnoses_only(store: SqliteStore) -> None:
    """Of many the newest five: the rest is in the store."""
    facts = _incident(store, count=9)
    assert [item["text"][-1] for item in facts["diagnoses"]] == list("45678")  # type: ignore[index, attr-defined]


def test_exhausted_leads_to_its_own_runbook(store: SqliteStore) -> None:
    """An exhausted component needs another runbook than the check that found it."""
    facts = _incident(store, exhausted=True)
    assert facts["incident"]["runbook"] == "component-exhausted"  # type: ignore[index]
