"""Roll-ups are what incidents are counted from, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

from sentinel.core.component.health import Health
from sentinel.core.fault import Status
from sentinel.core.model import Check, Finding, Histogram, Row
from sentinel.engine.picture import WatchedCheck, roll_up
from sentinel.probes.registry import KIND as REGISTRY
from sentinel.probes.task_assignment import KIND as ASSIGNMENT
from sentinel.store import Sample

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_only_what_a_report_reads_of_the_past() -> None:
    """Counters of an incident's cost; neither gauges nor histograms nor the rows of each agent."""
    late = {"queue": "q", "outcome": "late"}
    times = Histogram((1.0,), (2,), 2, 0.5)
    rows = [
        Row(late, {"settled": 3.0}),
        Row({"queue": "q"}, {"unassigned": 7.0, "assignment_seconds": times}),
    ]
    finding = Finding(Status.UP, "", rows)
    watched = WatchedCheck(_check("tasks"), ASSIGNMENT, Health(), finding=finding)
    assert roll_up(watched, NOW) == [Sample(NOW, "tasks", "settled", late, 3.0)]
    agents = Finding(Status.UP, "", [Row({"agent": "a"}, {"agent_tasks_completed": 9.0})])
    assert roll_up(WatchedCheck(_check("r"), REGISTRY, Health(), finding=agents), NOW) == []
    assert roll_up(WatchedCheck(_check("tasks"), ASSIGNMENT, Health()), NOW) == []


def _check(name: str) -> Check:
    return Check(name, "k", "c", 1.0, 1.0, None)
