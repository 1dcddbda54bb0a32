"""Stores made by hand: a quiet one, and one with an incident whose numbers are all known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sentinel.core.component.incident import Event
from sentinel.core.fault import Status
from sentinel.core.model import Attempt, Incident, IncidentState, Transition
from sentinel.store import Changes, CheckView, ComponentView, Gap, Sample
from sentinel.store.document import write_instant
from sentinel.store.sqlite import SqliteStore

T0 = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """An instant so many seconds after noon."""
    return T0 + timedelta(seconds=seconds)


def check(name: str, kind: str, component: str, **changes: Any) -> CheckView:
    """A check as the engine leaves it: up, last run at 12:20."""
    fields: dict[str, Any] = {
        "name": name, "kind": kind, "component": component, "status": "up", "soft": "up", "since": T0,
        "detail": "fine", "key": None, "guidance": "", "evidence": {}, "rows": [], "runs": 10, "every": 5.0,
        "last_run": at(1200), "duration": 0.01, "outcome": "ok", "quality": "observed", "trace_id": "t",
        "runbook": "", "flapping": False,
    }  # fmt: skip
    return CheckView(**{**fields, **changes})


def component(name: str, status: str = "up", **changes: Any) -> ComponentView:
    """A component as the engine leaves it."""
    fields: dict[str, Any] = {
        "name": name, "status": status, "since": at(-3600), "detail": "", "depends_on": [], "driver": "",
        "pid": None, "restarts": 0, "action": "",
    }  # fmt: skip
    return ComponentView(**{**fields, **changes})


def row(labels: dict[str, str], **values: float) -> dict[str, Any]:
    """A row as the engine keeps it in the view of a check."""
    return {"labels": labels, "values": values}


def agent(
    name: str,
    status: str,
    completed: float | None = None,
    held: float | None = None,
    called: str = "",
) -> dict[str, Any]:
    """The row of an agent; a check without tasks has no figures in it."""
    counted = {"agent_tasks_completed": completed, "agent_tasks_open": held}
    values = {key: float(value) for key, value in counted.items() if value is not None}
    return row({"agent": name, "name": called, "status": status}, **values)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    made = SqliteStore(tmp_path)
    yield made
    made.close()


@pytest.fixture
def incident_store(store: SqliteStore) -> SqliteStore:
    """agent-1 was down from 12:00 to 12:01:30, restarted once, closed at 12:11:30."""
    incident = Incident(
        "I1", "agent-1", T0, IncidentState.CLOSED, Status.DOWN, "process died (exit 137)", "processes",
        recovered=at(90), closed=at(690), last_unhealthy=at(80),
    )  # fmt: skip
    counters = [
        Sample(at(minute * 60), name, measurement, labels, value)
        for minute, lost, unsure, late in (
            (-1, 5.0, 0.0, 2.0),
            (3, 12.0, 4.0, 3.0),
            (12, 12.0, 4.0, 3.0),
            (30, 99.0, 9.0, 9.0),
        )
        for name, measurement, labels, value in (
            ("bus-delivery", "lost_before_read_total", {"stream": "a", "group": "g"}, lost),
            (
                "bus-delivery",
                "lost_before_read_uncertain_total",
                {"stream": "a", "group": "g"},
                unsure,
            ),
            ("bus-canary", "results", {"path": "0", "result": "late"}, late),
        )
    ]
    delivery = [
        row({"stream": "a"}, published_total=1000.0),
        row({"stream": "a", "group": "g"}, lost_before_read_total=12.0, waiting_entries=2.0),
        row({"stream": "a", "group": "g"}, lost_before_read_uncertain_total=4.0),
        row({"stream": "a", "group": "g", "outcome": "acked"}, settled_total=980.0),
        row({"stream": "a", "group": "g", "outcome": "pending"}, settled_total=3.0),
        row({"stream": "a", "group": "g", "outcome": "waiting"}, settled_total=1.0),
        row({"stream": "a", "group": "g", "outcome": "uncertain"}, settled_total=4.0),
    ]
    canary = [
        row({"path": "0", "result": "ok"}, results=190.0),
        row({"path": "0", "result": "late"}, results=3.0),
        row({"path": "0", "result": "lost"}, results=1.0),
        row({"path": "0", "result": "corrupt"}, results=0.0),
        row({"path": "0"}, duplicates=2.0),
    ]
    assignment = [
        row({"queue": "q", "outcome": "in_deadline"}, settled=594.0),
        row({"queue": "q", "outcome": "late"}, settled=5.0),
        row({"queue": "q", "outcome": "unassigned"}, settled=1.0),
        row({}, assignment_p99_seconds=0.095),
    ]
    agents = [agent("agent-1", "active", 120, 1), agent("agent-2", "busy", 200, 0)]
    store.commit(
        Changes(
            meta={"platform": "demo", "watching_since": write_instant(at(-7200)), "started": write_instant(at(-60))},
            checks=[
                check("bus-delivery", "bus_delivery", "bus", rows=delivery),
                check("bus-canary", "bus_canary", "bus", rows=canary),
                check("task-assignment", "task_assignment", "orchestrator", rows=assignment),
                check("registry", "registry", "orchestrator", rows=agents),
                check("processes", "process", "agent-1"),
            ],
            components=[component("bus"), component("agent-1", since=at(90), restarts=1)],
            incidents=[incident],
            transitions=[
                Transition("agent-1", "component", Status.UP, Status.DOWN, T0, "died"),
                Transition("agent-1", "component", Status.DOWN, Status.UP, at(90), "alive"),
                Transition("processes", "check", Status.UP, Status.DOWN, T0, "died"),
            ],
            gaps=[Gap(at(30), at(40), "event loop stalled")],
            samples=counters,
            events=[
                ("I1", T0, Event("opened", "agent-1 is down"), {"failing_since": write_instant(at(-2.5))}),
                ("I1", at(5), Event("attempt", "restart 1 of 3"), {"pid": 4711}),
                ("I1", at(90), Event("recovered", "agent-1 is healthy after 90.0 s"), {}),
                ("I1", at(690), Event("closed", "closed after 600 s of observed health"), {}),
            ],
        )
    )  # fmt: skip
    attempt = Attempt(
        "I1",
        1,
        "agent-1",
        "restart",
        "down",
        at(5),
        "started",
        "pid 4711",
        at(6),
        "succeeded",
        85.0,
    )
    store.claim_attempt(attempt)
    return store
